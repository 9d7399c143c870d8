#!/bin/bash
# Two nodes with four GPUs each; submit from the repository's folder: sbatch training/slurm.sh
# A job that is cut off goes on from its last checkpoint when it is submitted again.
#SBATCH --job-name=veloxseg
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --requeue
set -euo pipefail

head_node=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun .venv/bin/torchrun \
  --nnodes "$SLURM_NNODES" --nproc-per-node 4 \
  --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$head_node:29500" \
  -- training/train.py cases --data.folder data/autopet --run runs/autopet --device cuda \
  --batch-size 2 --workers 7 --steps 75000 --validate-every 2500
