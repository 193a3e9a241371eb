#!/usr/bin/env bash
# Make the virtual environment $1 with the pinned packages. Called by make; safe to call again.
set -euo pipefail
venv=$1
usable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if ! { [ -x "$venv/bin/python" ] && usable "$venv/bin/python"; }; then
  for python in ${PYTHON:-python3.12 python3.11 python3.13 python3}; do
    if usable "$python"; then
      echo "creating $venv with $("$python" --version)"
      "$python" -m venv --clear "$venv"
      break
    fi
  done
fi
if [ ! -x "$venv/bin/python" ]; then
  echo "error: no usable Python found (tried: ${PYTHON:-python3.12 python3.11 python3.13 python3})." >&2
  echo "It must be 3.11 or newer and have the venv module. Name one: make PYTHON=/path/to/python3" >&2
  exit 1
fi
echo "installing the pinned packages (PyTorch alone is large: this can take some minutes)"
if ! "$venv/bin/python" -m pip install --quiet --editable ".[$EXTRAS]" -c envs/constraints.txt; then
  echo "error: pip could not install the packages (its words are above). Run make again to go on." >&2
  exit 1
fi
