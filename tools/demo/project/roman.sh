# roman prints a number from 1 to 3999 as the Romans wrote it.
roman() {
  n=$1 r=
  set -- 1000 M 900 CM 500 D 400 CD 100 C 90 XC 50 L 40 XL 10 X 9 IX 5 V 4 IV 1 I
  while [ $# -gt 0 ]; do
    while [ "$n" -ge "$1" ]; do
      r=$r$2
      n=$((n - $1))
    done
    shift 2
  done
  echo "$r"
}
