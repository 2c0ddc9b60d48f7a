package probe

import (
	"fmt"
	"strings"
	"testing"

	"creel/internal/config"
)

// kinds names the kinds that a probe consists of.
func kinds(p Probe) string {
	if all, ok := p.(All); ok {
		var names []string
		for _, one := range all {
			names = append(names, kinds(one))
		}
		return strings.Join(names, " ")
	}
	return strings.TrimPrefix(strings.TrimLeft(fmt.Sprintf("%T", p), "*"), "probe.")
}

func TestFromConfig(t *testing.T) {
	tests := []struct {
		ready       config.Ready
		alive       config.Alive
		want, lives string
	}{
		{config.Ready{}, config.Alive{}, "TCP", "TCP"},
		{config.Ready{Path: "/r"}, config.Alive{}, "HTTP", "HTTP"},
		{config.Ready{Log: "x"}, config.Alive{}, "TCP Log", "TCP"},
		{config.Ready{Command: []string{"x"}}, config.Alive{}, "TCP Command", "TCP Command"},
		{config.Ready{Path: "/r", Log: "x", Command: []string{"x"}}, config.Alive{}, "HTTP Log Command", "HTTP Command"},
		{config.Ready{Log: "x"}, config.Alive{Path: "/a"}, "TCP Log", "HTTP"},
	}
	for _, tt := range tests {
		p, err := FromConfig(tt.ready)
		if err != nil || kinds(p) != tt.want {
			t.Errorf("%+v gives %s, %v; want %s", tt.ready, kinds(p), err, tt.want)
		}
		p, err = AliveFromConfig(tt.alive, tt.ready)
		if err != nil || kinds(p) != tt.lives {
			t.Errorf("%+v, %+v gives %s, %v; want %s", tt.alive, tt.ready, kinds(p), err, tt.lives)
		}
	}
	p, err := FromConfig(config.Ready{Path: "/r", Status: []int{204}})
	if h, ok := p.(HTTP); err != nil || !ok || h.Path != "/r" || len(h.Status) != 1 || h.AnyStatus {
		t.Errorf("got %+v, %v", p, err)
	}
	p, err = AliveFromConfig(config.Alive{Path: "/a"}, config.Ready{Path: "/r", Status: []int{204}})
	if h, ok := p.(HTTP); err != nil || !ok || h.Path != "/a" || !h.AnyStatus {
		t.Errorf("got %+v, %v", p, err)
	}
	if _, err := FromConfig(config.Ready{Log: "("}); err == nil || !strings.Contains(err.Error(), `"("`) {
		t.Errorf("got %v", err)
	}
}
