"""``ris propose``: class-agnostic masks of one shard of the images."""

from __future__ import annotations

from tqdm import tqdm

from pipeline.config import Config
from pipeline.layout import Layout
from pipeline.proposals import PROPOSERS
from pipeline.runs import step_settings
from pipeline.steps.inputs import images_of, in_shard, pictures_of
from pipeline.store import digest_of, rle_encode, table_writer


def run(config: Config, *, shard: int) -> None:
    """Write the proposals, best first, of the shard's images that get pseudo-labels."""
    layout = Layout.of(config)
    settings = config.proposals.model_dump()
    propose = PROPOSERS[settings.pop("method")]
    pictures = pictures_of(config)
    images = [
        record
        for image_id, record in sorted(images_of(config, config.pseudo_labels.splits).items())
        if in_shard(image_id, shard, layout.shards)
    ]
    with table_writer(
        layout.proposals(shard),
        kind="proposals",
        config_digest=digest_of(step_settings(config, None, "propose")),
    ) as writer:
        for record in tqdm(images, desc=f"propose {shard}", unit="image", mininterval=1.0):
            found = propose(pictures.load(record), **settings)
            count = len(found)
            writer.append(
                {
                    "dataset": [record.dataset] * count,
                    "image_id": [record.image_id] * count,
                    "rank": list(range(count)),
                    "rle": [rle_encode(mask) for mask, _ in found],
                    "height": [record.height] * count,
                    "width": [record.width] * count,
                    "area": [int(mask.sum()) for mask, _ in found],
                    "score": [score for _, score in found],
                }
            )
