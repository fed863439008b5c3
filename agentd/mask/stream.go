package mask

// Stream masks a stream. What could be the beginning of a secret is held back
// until it is one or not: at most maxForm-1 bytes. It is used by one goroutine
// at a time.
type Stream struct {
	mask *Mask
	out  func([]byte) error
	buf  []byte
	// held is what is not decided. Its first shown bytes were let out by Pause,
	// and its first covered bytes belong to a secret.
	held           []byte
	shown, covered int
	// masking says that the last thing let out stands for a secret.
	masking bool
}

// maxShown is how many bytes of a secret a pause may show.
const maxShown = minForm - 1

// Stream masks what is written to it and gives it to out, which must not keep
// it. m may not be nil.
func (m *Mask) Stream(out func([]byte) error) *Stream { return &Stream{mask: m, out: out} }

// Write masks p. Its errors are those of out.
func (s *Stream) Write(p []byte) error {
	if len(s.held) > 0 {
		p = append(s.held, p...)
	}
	return s.process(p, false)
}

// Held says whether a pause would show something.
func (s *Stream) Held() bool {
	return len(s.held) > s.shown && len(s.held) <= maxShown
}

// Pause lets out what is held, when that is little: a prompt must appear
// although its last bytes may begin a secret. Should they do so, the rest of
// the secret is still masked.
func (s *Stream) Pause() error {
	if !s.Held() {
		return nil
	}
	s.buf = s.buf[:0]
	for i := s.shown; i < len(s.held); i++ {
		s.let(s.held[i], i < s.covered)
	}
	s.shown = len(s.held)
	return s.out(s.buf)
}

// Close lets out all that is held: nothing follows.
func (s *Stream) Close() error { return s.process(s.held, true) }

// process lets out what is decided of data, which begins with what was held.
func (s *Stream) process(data []byte, final bool) error {
	s.buf = s.buf[:0]
	covered, i := s.covered, 0
	for i < len(data) {
		if i >= covered && i >= s.shown {
			if j := s.mask.next(data, i); j > i {
				s.buf, s.masking = append(s.buf, data[i:j]...), false
				if i = j; i == len(data) {
					break
				}
			}
		}
		n, more := s.mask.match(data[i:])
		covered = max(covered, i+n)
		if more && !final {
			break
		}
		if i >= s.shown {
			s.let(data[i], i < covered)
		}
		i++
	}
	s.held = append(s.held[:0], data[i:]...)
	s.covered, s.shown = max(0, covered-i), max(0, s.shown-i)
	if len(s.buf) == 0 {
		return nil
	}
	return s.out(s.buf)
}

// let adds one byte, or what stands for it.
func (s *Stream) let(b byte, secret bool) {
	switch {
	case !secret:
		s.buf, s.masking = append(s.buf, b), false
	case !s.masking:
		s.buf, s.masking = append(s.buf, s.mask.text...), true
	}
}
