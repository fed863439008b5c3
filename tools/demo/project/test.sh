# Tests roman.sh and writes reports/*.xml in the JUnit format. LEVEL=2 tests
# large numbers too. Fails when a test does.
. ./roman.sh
mkdir -p reports
bad=0

# suite NAME reads "number expected" lines and tests each.
suite() {
  name=$1 tests=0 failures=0 cases=
  while read -r number want; do
    tests=$((tests + 1))
    got=$(roman "$number")
    if [ "$got" = "$want" ]; then
      echo "ok      $number is $got"
      cases="$cases  <testcase classname=\"$name\" name=\"$number\"/>
"
    else
      echo "FAILED  $number is $want, not $got"
      failures=$((failures + 1))
      bad=1
      cases="$cases  <testcase classname=\"$name\" name=\"$number\"><failure message=\"$got\"/></testcase>
"
    fi
  done
  printf '<?xml version="1.0" encoding="UTF-8"?>\n<testsuite name="%s" tests="%s" failures="%s">\n%s</testsuite>\n' \
    "$name" "$tests" "$failures" "$cases" >"reports/$name.xml"
  echo "$name: $tests tests, $failures failures" >>reports/summary.txt
}

suite small <<CASES
1 I
2 II
4 IV
9 IX
14 XIV
40 XL
CASES

if [ "${LEVEL:-1}" -ge 2 ]; then
  suite large <<CASES
400 CD
1066 MLXVI
1999 MCMXCIX
2026 MMXXVI
3999 MMMCMXCIX
CASES
fi
[ "$bad" = 0 ]
