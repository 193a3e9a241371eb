"""Published datasets and weights, fetched safely: see ``published.yaml`` for what there is.

Not imported by ``pipeline.datasets``: steps that read tables do not depend on how data came.
"""

from pipeline.datasets.download.catalogue import Catalogue, Resource, Source, read_catalogue
from pipeline.datasets.download.fetching import Manners
from pipeline.datasets.download.folder import DownloadFolder, Places, Wanted, opened, places_at
from pipeline.datasets.download.licences import check_licences, licence_lines
from pipeline.datasets.download.network import shown
from pipeline.datasets.download.part import part_size
from pipeline.datasets.download.seen import Seen
from pipeline.datasets.download.view import show, show_folder

__all__ = [
    "Catalogue",
    "DownloadFolder",
    "Manners",
    "Places",
    "Resource",
    "Seen",
    "Source",
    "Wanted",
    "check_licences",
    "licence_lines",
    "opened",
    "part_size",
    "places_at",
    "read_catalogue",
    "show",
    "show_folder",
    "shown",
]
