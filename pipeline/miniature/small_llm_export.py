"""The small LLM as a GGUF file, with its tokenizer, for llama.cpp: the only file that imports gguf.

Format: the GGUF specification of ggml; names of llama.cpp's architecture "llama". Channels of a
head are turned in neighbouring pairs there too, so that the matrices go over as they are.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.miniature.small_llm import NORM_FLOOR, ROTARY_BASE, SmallLlm
from pipeline.miniature.small_llm_tokenizer import END, SPECIALS, START, UNKNOWN, Tokenizer
from pipeline.safety import InputError
from pipeline.store import atomic_path

if TYPE_CHECKING:
    from gguf import GGUFWriter

_NAMES = {
    "attention_norm": "attn_norm",
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "output": "attn_output",
    "feed_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def check_packages() -> None:
    """InputError if what `write_gguf` needs, or what then reads its file, is not installed."""
    if find_spec("gguf") is None or find_spec("llama_cpp") is None:
        raise InputError(
            "the small LLM needs the packages gguf and llama-cpp-python, which are not installed; "
            "`make setup EXTRAS=test,lint,llm` installs them, or set cues.backend: rules"
        )


def write_gguf(path: Path, network: SmallLlm, tokenizer: Tokenizer, *, context: int) -> None:
    """Write the network in 32-bit floats; equal weights and pieces give equal bytes.

    ``context``: the most tokens that llama.cpp will let it read.
    """
    import gguf

    width = network.embedding.embedding_dim
    with atomic_path(path) as temporary:
        writer = gguf.GGUFWriter(temporary, "llama")
        writer.add_name("the miniature's small LLM")
        writer.add_context_length(context)
        writer.add_embedding_length(width)
        writer.add_block_count(len(network.layers))
        writer.add_feed_forward_length(network.feed_forward)
        writer.add_head_count(network.heads)
        writer.add_head_count_kv(network.heads)
        writer.add_layer_norm_rms_eps(NORM_FLOOR)
        writer.add_rope_freq_base(ROTARY_BASE)
        writer.add_rope_dimension_count(width // network.heads)
        writer.add_vocab_size(tokenizer.size)
        writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        _add_tokenizer(writer, tokenizer)
        for name, value in network.state_dict().items():
            writer.add_tensor(_name(name), value.detach().float().cpu().contiguous().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _name(name: str) -> str:
    if name == "embedding.weight":  # also the output's, as no other is given
        return "token_embd.weight"
    if name == "norm.weight":
        return "output_norm.weight"
    _, layer, part, weight = name.split(".")
    return f"blk.{layer}.{_NAMES[part]}.{weight}"


def _add_tokenizer(writer: GGUFWriter, tokenizer: Tokenizer) -> None:
    from gguf import TokenType as kinds  # noqa: N813

    count = len(tokenizer.pieces)
    special = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokenizer.tokens())
    # of two pairs llama.cpp first joins the one whose whole has the higher score
    pieces = [-float(place) for place in range(count)]
    writer.add_token_scores([0.0] * (len(SPECIALS) + 256) + pieces)
    writer.add_token_types([*special, *[kinds.BYTE] * 256, *[kinds.NORMAL] * count])
    writer.add_bos_token_id(START)
    writer.add_eos_token_id(END)
    writer.add_unk_token_id(UNKNOWN)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)
