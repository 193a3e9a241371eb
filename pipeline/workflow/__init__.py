"""What the Snakefile asks for: who needs which file, code and setting; the run lock; DVC.

The Snakefile says the flow, one rule a step; the logic behind it stands here, where it is tested.
"""

from pipeline.workflow.code import code_of
from pipeline.workflow.flow import Flow, flow_of
from pipeline.workflow.hooks import commit_to_dvc, hold_run_lock, use_this_python, write_resolved

__all__ = [
    "Flow",
    "code_of",
    "commit_to_dvc",
    "flow_of",
    "hold_run_lock",
    "use_this_python",
    "write_resolved",
]
