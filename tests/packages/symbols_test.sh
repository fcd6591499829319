#!/usr/bin/env bash
# tests/packages/public_symbols.txt lists what is public in the headers, no more and no less. Status 77 where ctags is missing.
#   symbols_test.sh SOURCE_FOLDER
set -euo pipefail
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ctags --version 2>/dev/null | grep -q Universal || { echo "skipped: there is no universal-ctags"; exit 77; }
"$source/scripts/public_symbols" >"$work/found"
diff -u "$source/tests/packages/public_symbols.txt" "$work/found" || {
  echo "What is public has changed (- gone, + new). If that is meant: scripts/public_symbols --write, and a line in CHANGELOG.md; what goes is deprecated first (docs/stability.md)."
  exit 1
}
# What the README's ten lines use is there, by name.
for name in Calibration Calibration::fork Calibration::sum Calibration::gate IMTL_G ModalityGate Diagnostics::weights Surface::all_shared NonFinite::skip Error; do
  grep -qE " fuller::$name\$" "$work/found" || { echo "fuller::$name is not listed"; exit 1; }
done
# The test itself: in a copy, each kind of name is seen, and what is not public is not.
mkdir -p "$work/copy/scripts"
cp -r "$source/include" "$source/cmake" "$source/CMakeLists.txt" "$work/copy/"
cp "$source/scripts/public_symbols" "$work/copy/scripts/"
namespace=$(sed -n 's/^inline namespace \(v[0-9_]*\) {$/\1/p' "$source/include/fuller/version.hpp")
cat >"$work/copy/include/fuller/probe.hpp" <<END
#define FULLER_PROBE 1
namespace fuller {
inline namespace $namespace {
class Probe {
 public:
  FULLER_HD void seen(int x) const;
  int value = 0;
  std::function<std::vector<int>(int x)> called{};
 private:
  struct Hidden { int of_hidden = 0; };
  enum class HiddenKind { hidden };
  void hidden();
  int hidden_ = 0;
};
enum class ProbeKind { one };
template <class T>
T probe_function(T x) {
  struct Local { T of_local; };
  return x;
}
inline constexpr int probe_constant = 1;
using ProbeAlias = Probe;
inline void Probe::hidden() {}
namespace detail {
struct ProbeDetail { int inner; };
}
}
}
END
"$work/copy/scripts/public_symbols" | grep '^fuller/probe.hpp' | cut -d' ' -f2 >"$work/probe"
cat >"$work/expected" <<END
FULLER_PROBE
fuller::Probe
fuller::Probe::called
fuller::Probe::seen
fuller::Probe::value
fuller::ProbeAlias
fuller::ProbeKind
fuller::ProbeKind::one
fuller::probe_constant
fuller::probe_function
END
diff -u "$work/expected" "$work/probe"
echo "$(wc -l <"$work/found") public names are those of the list."
