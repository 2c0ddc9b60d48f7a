package crashgw

import (
	"net/http"
	"os/exec"
	"time"
)

// serveHog answers, and then takes all it can get of one thing.
func (c *call) serveHog() {
	kind := c.params.text("kind")
	hogs := map[string]func(*server){"memory": (*server).hogMemory, "cpu": (*server).hogCPU, "processes": (*server).hogProcesses}
	hog, ok := hogs[kind]
	if !ok {
		c.params.fail("cannot take all of %q: use kind=memory, cpu or processes", kind)
	}
	if c.refused() {
		return
	}
	c.log.Printf("hogging: %s", kind)
	c.reply(http.StatusAccepted, c.health(true))
	go hog(c.server) // ends with the process, as it is to
}

// hogMemory takes memory, and uses it, until the kernel ends the process.
func (s *server) hogMemory() {
	var held [][]byte
	for {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = byte(i) // else the kernel gives none
		}
		held = append(held, b)
		if len(held)%8 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

// hogCPU keeps as many threads busy as there are, and more.
func (s *server) hogCPU() {
	for range 8 {
		go func() {
			for n := uint64(1); ; n = n*6364136223846793005 + 1 { // never ends
				if n == 0 {
					s.log.Print("cannot be")
				}
			}
		}()
	}
}

// hogProcesses has a child start processes until the kernel refuses, and again
// when some have ended. The log says when that happens first.
func (s *server) hogProcesses() {
	for told := false; ; told = true {
		out, err := exec.Command("sh", "-c", "while :; do sleep 5 >/dev/null 2>&1 & done").CombinedOutput()
		if !told {
			s.log.Printf("no more processes: %v: %s", err, out)
		}
	}
}
