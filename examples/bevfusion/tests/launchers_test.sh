#!/usr/bin/env bash
# A run under each launcher that is here is the one that `bevfusion train --ranks 2` makes itself, line for line of its log; under
# torchrun also where a rank is killed.
#   launchers_test.sh PROGRAM
set -euo pipefail
program=$1
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
said=()
"$program" synth --tiny --scenes 3 --samples 4 --sweeps 1 --seed 4 --out "$work/data" >/dev/null
words=(train --size tiny --data.root "$work/data" --loading.sweeps 1 --training.epochs 2 --training.batch 2 --training.checkpoint_every 1 --training.evaluate_every 0
  --rank-timeout 60 --resume)
# The same run, in words that a shell in between reads.
command_line=$(printf '%q ' "$program" "${words[@]}")
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
log_of() { sed -E 's/,?"(seconds|waited|peak_memory)":[^,}]*//g' "$work/$1/log.jsonl"; }
expect_same() { # RUN
  diff <(log_of whole) <(log_of "$1") || { echo "$1: another log than that of --ranks 2"; exit 1; }
  said+=("$1")
}
"$program" "${words[@]}" --ranks 2 --out "$work/whole" >"$work/out" 2>&1 || { cat "$work/out"; exit 1; }

# Slurm's variables, by hand: the line of shell that srun starts for each task.
MASTER_PORT=$(free_port) && export MASTER_PORT MASTER_ADDR=127.0.0.1
slurm="RANK=\$SLURM_PROCID WORLD_SIZE=\$SLURM_NTASKS LOCAL_RANK=\$SLURM_LOCALID exec $command_line --out $work/slurm"
tasks=()
for task in 0 1; do
  SLURM_PROCID=$task SLURM_LOCALID=$task SLURM_NTASKS=2 bash -c "$slurm" >"$work/slurm.$task" 2>&1 &
  tasks+=($!)
done
for task in "${tasks[@]}"; do wait "$task" || { cat "$work"/slurm.*; exit 1; }; done
expect_same slurm

if command -v mpirun >/dev/null; then
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun -n 2 --oversubscribe -x MASTER_ADDR=127.0.0.1 -x MASTER_PORT="$(free_port)" bash -c \
    "RANK=\$OMPI_COMM_WORLD_RANK WORLD_SIZE=\$OMPI_COMM_WORLD_SIZE LOCAL_RANK=\$OMPI_COMM_WORLD_LOCAL_RANK exec $command_line --out $work/mpirun" \
    >"$work/out" 2>&1 || { cat "$work/out"; exit 1; }
  expect_same mpirun
else
  said+=("no mpirun here")
fi

torchrun=${FULLER_TORCHRUN:-torchrun}
if "$torchrun" --help >/dev/null 2>&1; then
  # torchrun's PyTorch may be one whose store this program's LibTorch does not understand: rank 0 serves the ranks' store.
  launch=("$torchrun" --no-python --nnodes 1 --nproc-per-node 2 --rdzv-backend c10d --rdzv-endpoint 127.0.0.1:0 --max-restarts 2 --monitor-interval 1
    bash -c "TORCHELASTIC_USE_AGENT_STORE=False MASTER_ADDR=127.0.0.1 MASTER_PORT=$(free_port) exec $command_line --out \"\$0\"")
  unset MASTER_ADDR MASTER_PORT
  "${launch[@]}" "$work/torchrun" >"$work/out" 2>&1 || { cat "$work/out"; exit 1; }
  expect_same torchrun
  "${launch[@]}" "$work/restarted" >"$work/out" 2>&1 &
  launcher=$!
  for _ in $(seq 600); do
    [ "$(cat "$work/restarted/log.jsonl" 2>/dev/null | wc -l)" -ge 4 ] && break
    sleep 0.1
  done
  victim=
  for process in $(cat "/proc/$launcher/task/"*/children); do
    tr '\0' '\n' <"/proc/$process/environ" | grep -qx RANK=1 && victim=$process
  done
  kill -9 "$victim" || { cat "$work/out"; exit 1; }
  wait "$launcher" || { cat "$work/out"; exit 1; }
  grep -q 'resuming    after step' "$work/out" || { cat "$work/out"; echo "the run was not resumed"; exit 1; }
  expect_same restarted
else
  said+=("no torchrun here")
fi
echo "$(IFS=,; echo "${said[*]}")"
