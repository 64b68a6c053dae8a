#!/usr/bin/env bash
# Plants one violation of each kind in an otherwise empty tree and expects the check to name it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d); trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree"/{common/base,server/jobs,server/store,client/lib,proto/yoke/v1}
expect() { # CHECK TEXT
  if out=$(python3 "$here/check.py" "$1" "$tree" "$tree" 2>&1); then echo "$1 passed on a planted violation"; exit 1; fi
  grep -qF "$2" <<<"$out" || { echo "$1 did not name '$2':"; echo "$out"; exit 1; }
}
echo '#include "server/store/sqlite_store.h"' >"$tree/server/jobs/a.cc"
expect arrows 'server/jobs/a.cc:1'
printf '#pragma once\n// TO%s: later\n' DO >"$tree/common/base/a.h"
expect text 'common/base/a.h:2'
expect readmes 'server/jobs: no README.md'
echo '[]' >"$tree/compile_commands.json"
expect built 'server/jobs/a.cc'
mkdir -p "$tree/Unity"
for name in b c; do printf 'namespace {\nint Twice(int x) { return x; }\n}  // namespace\n' >"$tree/server/jobs/$name.cc"; done
printf '#include "%s"\n' "$tree/server/jobs/b.cc" "$tree/server/jobs/c.cc" >"$tree/Unity/unity_0_cxx.cxx"
printf '[{"file": "%s", "command": "c++", "directory": "/"}]' "$tree/Unity/unity_0_cxx.cxx" >"$tree/compile_commands.json"
expect together 'Twice is also in'
expect links 'no built program found'
mkdir -p "$tree/bin" "$tree/lib"
printf 'int main(){return 0;}\n' >"$tree/p.c"
${CC:-gcc} "$tree/p.c" -o "$tree/bin/yoke-shim"
expect links 'yoke-shim must be static'
printf 'int torch_f(void){return 0;}\n' >"$tree/t.c"
${CC:-gcc} -shared -fPIC "$tree/t.c" -Wl,-soname,libtorch_cpu.so -o "$tree/lib/libtorch_cpu.so"
printf 'int torch_f(void);int main(){return torch_f();}\n' >"$tree/p.c"
${CC:-gcc} "$tree/p.c" "$tree/lib/libtorch_cpu.so" -Wl,-rpath,"$tree/lib" -o "$tree/bin/yoked"
expect links 'yoked must not need libtorch_cpu.so'
expect relocatable 'bin/yoked'
echo "every check fails when it should"
