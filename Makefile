# The words a person types. `make run` and `make test` set up what they need in .venv.
#   PYTHON=/path/to/python3   the interpreter for .venv (3.11 or newer)
#   EXTRAS=test,lint,llm      optional packages, by name in pyproject.toml
#   CORES=4                   processor cores that the workflow may use
#   TESTERS=4                 processes that share the tests, a file each
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
EXTRAS ?= test,lint
CORES ?= all
TESTERS ?= 2
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup run test lint bench touch dvc clean

help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.ready ## make .venv with the pinned packages

$(VENV)/.ready: pyproject.toml envs/constraints.txt envs/create_venv.sh
	@PYTHON="$(PYTHON)" EXTRAS="$(EXTRAS)" bash envs/create_venv.sh $(VENV)
	@touch $@

run: setup ## the whole workflow: data, weights, training, report (results/report.html)
	snakemake --cores $(CORES)

test: setup ## all tests
	OMP_NUM_THREADS=1 python -m pytest -q --numprocesses $(TESTERS) --dist loadfile

lint: setup ## style, types and the workflow's form
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check --compact-diff Snakefile
	snakemake --lint

bench: setup ## claims on speed and memory, each against a named alternative
	python -m benchmarks

touch: setup ## after `dvc pull`: tell snakemake that what was pulled is up to date
	snakemake --cores $(CORES) --touch --forceall

dvc: setup ## write dvc.yaml again after a change of the Snakefile or the runs
	python -m pipeline.workflow dvc

clean: ## delete everything that a run made; keeps .venv and DVC's cache
	rm -rf artifacts results logs .snakemake
