#!/usr/bin/env bash
# redis-cli, as scripts use it: asks the nodes one after the other where the primary is, and writes there until that fails.
# Arguments: the group, the key to write, the ports of the nodes.
group=$1 key=$2
shift 2
printf '{"client": "redis-cli", "version": "%s"}\n' "$(redis-cli --version | cut -d ' ' -f 2)"

# ask WORD...: the first line of the first answer of any node that is no error.
ask() {
  local node
  for node in "${nodes[@]}"; do
    redis-cli -e -p "$node" "$@" 2>/dev/null && return 0
  done
  return 1
}
nodes=("$@")

replica_port() {
  ask SENTINEL REPLICAS "$group" | awk '
    { if (NR % 2) name = $0; else { if (name == "name") { if (flags == "slave") print port; flags = "" }
      if (name == "port") port = $0; if (name == "flags") flags = $0 } }
    END { if (flags == "slave") print port }' | head -n 1
}

info_port() { redis-cli -e -p "$1" INFO server 2>/dev/null | tr -d '\r' | sed -n 's/^tcp_port://p'; }

value=0
primary=
# Ends with whoever started it.
while read -r -t 0.02 || [ $? -gt 128 ]; do
  value=$((value + 1))
  [ -n "$primary" ] || primary=$(ask SENTINEL GET-MASTER-ADDR-BY-NAME "$group" | sed -n 2p)
  if said=$(redis-cli -e -p "${primary:-1}" SADD "$key" "$value" 2>&1); then
    printf '{"wrote": %d}\n' "$value"
  else
    printf '{"failed": %d, "why": "%s"}\n' "$value" "${said//[^a-zA-Z0-9 .:]/ }"
    primary=
  fi
  if [ $((value % 20)) -eq 0 ] && [ -n "$primary" ]; then
    printf '{"primary": %d}\n' "$(info_port "$primary")"
    replica=$(replica_port)
    [ -z "$replica" ] || printf '{"replica": %d}\n' "$(info_port "$replica")"
  fi
done
