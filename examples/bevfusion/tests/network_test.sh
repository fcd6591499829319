#!/usr/bin/env bash
# Two ranks in network namespaces, joined by a link that delays and loses packets where this kernel can do that: they learn what two
# ranks on one machine do. And where the link is cut in mid-run, both end within the timeout and name the other.
#   network_test.sh PROGRAM
set -euo pipefail
program=$1
name=fuller_$$
ip netns add "${name}_0" 2>/dev/null || { echo "skipped: network namespaces cannot be made here"; exit 77; }
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; ip netns del "${name}_0"; ip netns del "${name}_1" 2>/dev/null; rm -rf "$work"' EXIT
ip netns add "${name}_1"
ip link add f0 netns "${name}_0" type veth peer name f1 netns "${name}_1"
how="no delay and no loss: this kernel has no netem"
for rank in 0 1; do
  ip -n "${name}_$rank" addr add "10.77.13.$((rank + 1))/24" dev "f$rank"
  ip -n "${name}_$rank" link set lo up
  ip -n "${name}_$rank" link set "f$rank" up
  if ip netns exec "${name}_$rank" tc qdisc add dev "f$rank" root netem delay 2ms loss 0.5% 2>/dev/null; then
    how="2 ms of delay and 0.5 % of loss each way"
  fi
done
export OMP_NUM_THREADS=1
"$program" synth --tiny --scenes 3 --samples 4 --sweeps 1 --seed 4 --out "$work/data" >/dev/null
words=(train --size tiny --data.root "$work/data" --loading.sweeps 1 --training.batch 2 --training.checkpoint_every 1 --training.evaluate_every 0 --rank-timeout 20)
ranks=()
start() { # RUN EPOCHS
  ranks=()
  for rank in 0 1; do
    ip netns exec "${name}_$rank" env RANK="$rank" WORLD_SIZE=2 LOCAL_RANK="$rank" MASTER_ADDR=10.77.13.1 MASTER_PORT=29511 GLOO_SOCKET_IFNAME="f$rank" \
      "$program" "${words[@]}" --training.epochs "$2" --out "$work/$1" >"$work/$1.$rank" 2>&1 &
    ranks+=($!)
  done
}
start joined 1
for rank in "${ranks[@]}"; do wait "$rank" || { cat "$work"/joined.?; exit 1; }; done
"$program" "${words[@]}" --training.epochs 1 --ranks 2 --out "$work/here" >"$work/out" 2>&1 || { cat "$work/out"; exit 1; }
log_of() { sed -E 's/,?"(seconds|waited|peak_memory)":[^,}]*//g' "$work/$1/log.jsonl"; }
diff <(log_of here) <(log_of joined) || { echo "over the link another run than here"; exit 1; }

start cut 1000
for _ in $(seq 600); do
  [ "$(cat "$work/cut/log.jsonl" 2>/dev/null | wc -l)" -ge 3 ] && break
  sleep 0.1
done
ip -n "${name}_1" link set f1 down
begin=$SECONDS
for rank in 0 1; do
  wait "${ranks[$rank]}" && { echo "rank $rank went on alone"; exit 1; }
done
took=$((SECONDS - begin))
[ "$took" -le 30 ] || { cat "$work"/cut.?; echo "they ended after $took s"; exit 1; }
grep -q 'rank 1 did not come' "$work/cut.0" || { cat "$work/cut.0"; exit 1; }
# Rank 0 serves the store, so the other cannot ask it who is gone.
grep -q 'rank 0\|store' "$work/cut.1" || { cat "$work/cut.1"; exit 1; }
echo "$how; cut, both ended after $took s: $(grep -h -o 'rank . of 2: .*' "$work"/cut.? | cut -c 1-160 | tr '\n' '|')"
