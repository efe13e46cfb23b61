#!/usr/bin/env bash
# Run once, when the container has been made: the course with the CPU build of torch.
set -euo pipefail
cd "$(dirname "$0")/.."
pipx install uv
uv venv
uv pip install --torch-backend cpu -e ".[test]"
