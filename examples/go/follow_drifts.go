// Opens a position, then follows the drifts of the desk for ever.
//
//	mkdir -p build/src && protoc --descriptor_set_in=../../protos/gen/trueup/plain.binpb \
//	       --go_out=build/src --go-grpc_out=build/src trueup/types/v1/{types,drift}.proto \
//	       trueup/position/v1/{position,position_service}.proto trueup/reconciler/v1/reconciler_service.proto
//	GO111MODULE=off GOPATH=$PWD/build:/usr/share/gocode go build -o build/ follow_drifts.go
//	build/follow_drifts [POSITION_ADDRESS [RECONCILER_ADDRESS]]
//
// Whatever ends the stream, it goes on after the last revision that was seen: nothing is lost, nothing comes twice.
// Debian: apt-get install golang-go golang-google-grpc-dev golang-github-golang-protobuf-1-5-dev protobuf-compiler
// protoc-gen-go protoc-gen-go-grpc
package main

import (
	"context"
	"fmt"
	"log"
	"math"
	"math/rand"
	"os"
	"os/signal"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	position "trueup/position/v1"
	reconciler "trueup/reconciler/v1"
	types "trueup/types/v1"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	addresses := []string{"127.0.0.1:50051", "127.0.0.1:50052"}
	copy(addresses, os.Args[1:])

	positions := position.NewPositionServiceClient(dial(addresses[0]))
	once, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	opened, err := positions.OpenPosition(once, &position.OpenPositionRequest{
		Asset: "ADA/USD", Size: "900", EntryPrice: "0.72", Leverage: "3", // amounts are decimal strings: no digit is lost
		RequestId: "example-go", // makes it safe to repeat: it happens once
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("opened", opened.Position.Symbol, opened.Position.Size, "at", opened.Position.EntryPrice)

	alive := grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 15 * time.Second, Timeout: 5 * time.Second})
	if err := follow(ctx, reconciler.NewReconcilerServiceClient(dial(addresses[1], alive))); err != nil {
		log.Fatal(err)
	}
}

func dial(address string, options ...grpc.DialOption) *grpc.ClientConn {
	channel, err := grpc.Dial(address, append(options, grpc.WithInsecure())...)
	if err != nil {
		log.Fatal(err)
	}
	return channel
}

// follow shows every drift event, until it is interrupted or something fails that repeating would not mend.
func follow(ctx context.Context, drifts reconciler.ReconcilerServiceClient) error {
	random := rand.New(rand.NewSource(time.Now().UnixNano()))
	var revision int64
	for failures := 0; ; failures++ {
		err := read(ctx, drifts, revision, func(message *reconciler.StreamDriftEventsResponse) {
			failures = 0
			for _, event := range message.Events {
				show(event.Drift)
			}
			// 0 while a snapshot is under way: it can only be resumed from once it is complete.
			if message.Revision != 0 {
				revision = message.Revision
			}
		})
		if ctx.Err() != nil {
			return nil
		}
		switch status.Code(err) {
		case codes.OutOfRange:
			// Away for longer than the history is kept: list what is open, go on from there.
			if listed, err := drifts.ListDrifts(ctx, &reconciler.ListDriftsRequest{}); err == nil {
				for _, drift := range listed.Drifts {
					show(drift)
				}
				revision = listed.Revision
				continue
			}
		case codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented,
			codes.FailedPrecondition:
			return err
		}
		log.Printf("%s: again after revision %d", status.Convert(err).Message(), revision)
		seconds := math.Min(10, 0.1*math.Pow(2, float64(failures))) * (0.5 + random.Float64()/2)
		select {
		case <-time.After(time.Duration(seconds * float64(time.Second))):
		case <-ctx.Done():
		}
	}
}

// read hands over the messages of one stream until it ends.
func read(ctx context.Context, drifts reconciler.ReconcilerServiceClient, after int64,
	take func(*reconciler.StreamDriftEventsResponse)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // an abandoned stream would stay open on the server
	from := &reconciler.StreamDriftEventsRequest{AfterRevision: &after}
	if after == 0 {
		from = &reconciler.StreamDriftEventsRequest{IncludeOpen: true}
	}
	stream, err := drifts.StreamDriftEvents(ctx, from)
	for err == nil {
		var message *reconciler.StreamDriftEventsResponse
		if message, err = stream.Recv(); err == nil {
			take(message)
		}
	}
	return err
}

func show(drift *types.Drift) {
	state := strings.TrimPrefix(drift.Status.String(), "DRIFT_STATUS_")
	fmt.Printf("drift %d %s %s: %s\n", drift.Revision, state, drift.Symbol, drift.Summary)
}
