package docker

// count is how many wait for anything.
func (s *sharing) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, j := range s.all {
		n += len(j.waiting)
	}
	return n
}
