package event

// unwritten counts the events that the files do not hold yet.
func (j *Journal) unwritten() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.left()
}
