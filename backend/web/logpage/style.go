package logpage

import (
	"strconv"
	"strings"
)

// style is how text looks: what SGR sequences (ECMA-48, 8.3.117) have set so far.
type style struct {
	// fg and bg are one more than a colour of the 256; 0 is the default.
	fg, bg int16
	flags  flag
}

type flag uint8

const (
	bold flag = 1 << iota
	dim
	italic
	underline
	inverse
	strike
)

// flagNames are the classes of the flags, in their order.
var flagNames = []string{"b", "d", "i", "u", "v", "s"}

// classes are the names that the style sheet gives the style; "" for plain text.
// Styles are classes, never attributes: the pages' policy forbids inline styles.
func (s style) classes() string {
	var names []string
	fg, bg := s.fg, s.bg
	flags := s.flags
	if flags&inverse != 0 && (fg != 0 || bg != 0) {
		fg, bg = bg, fg
		if fg == 0 {
			names = append(names, "fx")
		}
		if bg == 0 {
			names = append(names, "gx")
		}
		flags &^= inverse
	}
	if fg != 0 {
		names = append(names, "f"+strconv.Itoa(int(fg)-1))
	}
	if bg != 0 {
		names = append(names, "g"+strconv.Itoa(int(bg)-1))
	}
	for i, name := range flagNames {
		if flags&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// apply changes the style by the parameters of one sequence, "1;31".
func (s *style) apply(parameters string) {
	fields := strings.FieldsFunc(parameters+";", func(r rune) bool { return r == ';' })
	if strings.Trim(parameters, ";") == "" {
		*s = style{}
		return
	}
	for i := 0; i < len(fields); i++ {
		code, colon, _ := strings.Cut(fields[i], ":")
		n, _ := strconv.Atoi(code) // what is no number is 0, as an empty one is
		if n != 38 && n != 48 {
			s.set(n)
			continue
		}
		var colour int16
		if colon != "" {
			colour = extended(strings.Split(colon, ":"), true)
		} else {
			rest := fields[i+1:]
			colour = extended(rest, false)
			i += min(len(rest), taken(rest))
		}
		if n == 38 {
			s.fg = colour
		} else {
			s.bg = colour
		}
	}
}

// set applies one parameter that stands alone.
func (s *style) set(n int) {
	switch {
	case n == 0:
		*s = style{}
	case n >= 30 && n <= 37:
		s.fg = int16(n - 30 + 1)
	case n >= 40 && n <= 47:
		s.bg = int16(n - 40 + 1)
	case n >= 90 && n <= 97:
		s.fg = int16(n - 90 + 8 + 1)
	case n >= 100 && n <= 107:
		s.bg = int16(n - 100 + 8 + 1)
	case n == 39:
		s.fg = 0
	case n == 49:
		s.bg = 0
	default:
		s.setFlag(n)
	}
}

func (s *style) setFlag(n int) {
	switch n {
	case 1:
		s.flags |= bold
	case 2:
		s.flags |= dim
	case 3:
		s.flags |= italic
	case 4, 21:
		s.flags |= underline
	case 7:
		s.flags |= inverse
	case 9:
		s.flags |= strike
	case 22:
		s.flags &^= bold | dim
	case 23:
		s.flags &^= italic
	case 24:
		s.flags &^= underline
	case 27:
		s.flags &^= inverse
	case 29:
		s.flags &^= strike
	}
}

// taken is how many fields a colour behind 38 or 48 has: "5;N" or "2;R;G;B".
func taken(fields []string) int {
	switch {
	case len(fields) == 0:
		return 0
	case fields[0] == "5":
		return 2
	case fields[0] == "2":
		return 4
	}
	return 1
}

// extended reads "5;N" and "2;R;G;B", or with colons "2::R:G:B" too. 0 is no colour.
func extended(fields []string, colons bool) int16 {
	numbers := make([]int, 0, 5)
	for _, f := range fields {
		if f == "" && colons {
			continue
		}
		n, err := strconv.Atoi(f)
		if err != nil || n < 0 || n > 255 {
			return 0
		}
		if numbers = append(numbers, n); len(numbers) == 5 {
			break
		}
	}
	switch {
	case len(numbers) >= 2 && numbers[0] == 5:
		return int16(numbers[1] + 1)
	case len(numbers) == 5 && numbers[0] == 2 && colons: // with a colour space before R
		return nearest(numbers[2], numbers[3], numbers[4]) + 1
	case len(numbers) >= 4 && numbers[0] == 2:
		return nearest(numbers[1], numbers[2], numbers[3]) + 1
	}
	return 0
}

// levels are the steps of the 256 colours' cube.
var levels = [6]int{0, 95, 135, 175, 215, 255}

// nearest is the one of the 256 colours that is closest: of the cube, or a grey.
func nearest(r, g, b int) int16 {
	step := func(v int) int {
		best := 0
		for i, l := range levels {
			if abs(v-l) < abs(v-levels[best]) {
				best = i
			}
		}
		return best
	}
	ri, gi, bi := step(r), step(g), step(b)
	cube := abs(r-levels[ri]) + abs(g-levels[gi]) + abs(b-levels[bi])
	grey := min(max(((r+g+b)/3-8+5)/10, 0), 23)
	v := 8 + 10*grey
	if abs(r-v)+abs(g-v)+abs(b-v) < cube {
		return int16(232 + grey)
	}
	return int16(16 + 36*ri + 6*gi + bi)
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

// Palette is the part of the style sheet that has a class for each colour
// beyond the first sixteen, which the sheet names itself.
func Palette() string {
	var b strings.Builder
	for i := 16; i < 256; i++ {
		r, g, bl := rgb(i)
		hex := "#" + hex2(r) + hex2(g) + hex2(bl)
		n := strconv.Itoa(i)
		b.WriteString(".f" + n + "{color:" + hex + "}.g" + n + "{background:" + hex + "}\n")
	}
	return b.String()
}

func rgb(i int) (r, g, b int) {
	if i >= 232 {
		v := 8 + 10*(i-232)
		return v, v, v
	}
	i -= 16
	return levels[i/36], levels[i/6%6], levels[i%6]
}

func hex2(v int) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[v>>4], digits[v&15]})
}
