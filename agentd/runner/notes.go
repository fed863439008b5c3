package runner

// sayNotes tells the console what the job file, or the Compose file that it
// names, asks for and a run does without, such as published ports.
func (r *Runner) sayNotes() {
	if r.work.Run.Spec == nil {
		return
	}
	for _, note := range r.work.Run.Spec.Notes {
		r.console.say("%s", note)
	}
}
