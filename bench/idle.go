package main

import (
	"context"
	"errors"
)

// idleBar is the memory that creel may hold with one idle gateway, in MB.
var idleBar = &bar{Limit: 30, Of: barValue}

// measureIdle weighs contestants that have served some requests and have nothing
// to do, each time with new processes.
func measureIdle(ctx context.Context, b *bench) ([]row, error) {
	var creel, plain []weight
	for range b.plan.Rests {
		w, err := b.weighNew(ctx)
		if err != nil {
			return nil, err
		}
		creel, plain = append(creel, w[0]), append(plain, w[1])
	}
	each := func(of func(weight) float64) (c, p []float64) {
		for i := range creel {
			c, p = append(c, of(creel[i])/1e6), append(p, of(plain[i])/1e6)
		}
		return c, p
	}
	creelRSS, plainRSS := each(func(w weight) float64 { return float64(w.Resident) })
	creelOwn, plainOwn := each(func(w weight) float64 { return float64(w.Anonymous) })
	creelUse, plainUse := each(func(w weight) float64 { return w.HeapInUse + w.StackInUse })
	return rowsOf(
		line{"resident memory", "MB", idleBar, creelRSS, plainRSS},
		line{"of it not from files (heap, stacks, data)", "MB", nil, creelOwn, plainOwn},
		line{"heap and stacks in use", "MB", nil, creelUse, plainUse},
	)
}

func (b *bench) weighNew(ctx context.Context) (w []weight, err error) {
	up, err := b.stand(ctx, gatewayOptions{}, b.creel, b.plain)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, fall(up)) }()
	return b.weighAfterRequests(ctx, up)
}
