package crashgw

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

// floodLine is the length of a line of --log-flood.
const floodLine = 100

// flood writes so many bytes per second to standard output, in whole lines, for
// as long as the process lives or the output takes them.
func (s *server) flood(bytesPerSecond int) {
	start := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for written, number := 0, 0; ; <-tick.C {
		due := int(time.Since(start).Seconds()*float64(bytesPerSecond)) - written
		var out bytes.Buffer
		for out.Len()+floodLine <= due {
			number++
			line := fmt.Sprintf("crashgw flood line %d ", number)
			out.WriteString(line)
			out.Write(bytes.Repeat([]byte{'.'}, floodLine-1-len(line)))
			out.WriteByte('\n')
		}
		n, err := os.Stdout.Write(out.Bytes())
		if err != nil {
			fmt.Fprintln(os.Stderr, "crashgw: cannot go on flooding the log:", err)
			return
		}
		written += n
	}
}
