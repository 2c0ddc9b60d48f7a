package process

import "time"

// Use is what all processes of an instance use together.
type Use struct {
	Generation uint64
	Memory     int64         // resident bytes; what several share counts for each
	CPU        time.Duration // processor time so far; less than before once a process of it has ended
}
