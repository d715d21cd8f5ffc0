// Opens a position, then follows the drifts of the desk for ever.
//
//     mkdir -p build/src && protoc --descriptor_set_in=../../protos/gen/trueup/plain.binpb \
//            --java_out=build/src --grpc_out=build/src --plugin=protoc-gen-grpc="$(which grpc_java_plugin)" \
//            trueup/types/v1/{types,drift}.proto trueup/position/v1/{position,position_service}.proto \
//            trueup/reconciler/v1/reconciler_service.proto
//     export CLASSPATH=build/classes$(printf ':%s' /usr/share/java/{grpc,netty,opencensus}-*.jar \
//            /usr/share/java/{guava,perfmark-api,protobuf,geronimo-annotation-1.3-spec}.jar)
//     javac -proc:none -sourcepath build/src -d build/classes FollowDrifts.java
//     java FollowDrifts [POSITION_ADDRESS [RECONCILER_ADDRESS]]
//
// Whatever ends the stream, it goes on after the last revision that was seen: nothing is lost, nothing comes twice.
// Debian: apt-get install default-jdk-headless libgrpc-java libguava-java libnetty-java libperfmark-java
// libprotobuf-java libgeronimo-annotation-1.3-spec-java protobuf-compiler protobuf-compiler-grpc-java-plugin

import io.grpc.Context;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.EnumSet;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import trueup.position.v1.OpenPositionRequest;
import trueup.position.v1.PositionServiceGrpc;
import trueup.reconciler.v1.ListDriftsRequest;
import trueup.reconciler.v1.ReconcilerServiceGrpc;
import trueup.reconciler.v1.ReconcilerServiceGrpc.ReconcilerServiceBlockingStub;
import trueup.reconciler.v1.StreamDriftEventsRequest;
import trueup.reconciler.v1.StreamDriftEventsResponse;
import trueup.types.v1.Drift;

class FollowDrifts {
  /** Repeating would not mend these. */
  static final EnumSet<Status.Code> MISTAKES = EnumSet.of(
      Status.Code.INVALID_ARGUMENT, Status.Code.UNAUTHENTICATED, Status.Code.PERMISSION_DENIED,
      Status.Code.UNIMPLEMENTED, Status.Code.FAILED_PRECONDITION);
  static long revision = 0;
  static int failures = 0;

  public static void main(String[] addresses) throws InterruptedException {
    var position = addresses.length > 0 ? addresses[0] : "127.0.0.1:50051";
    var reconciler = addresses.length > 1 ? addresses[1] : "127.0.0.1:50052";

    var book = ManagedChannelBuilder.forTarget(position).usePlaintext().build();
    var order = OpenPositionRequest.newBuilder()
        .setAsset("XRP/USD").setSize("700").setEntryPrice("0.61").setLeverage("3") // decimal strings: no digit is lost
        .setRequestId("example-java") // makes it safe to repeat: it happens once
        .build();
    var stub = PositionServiceGrpc.newBlockingStub(book).withDeadlineAfter(10, TimeUnit.SECONDS);
    var opened = stub.openPosition(order).getPosition();
    book.shutdown();
    System.out.println("opened " + opened.getSymbol() + " " + opened.getSize() + " at " + opened.getEntryPrice());

    var channel = ManagedChannelBuilder.forTarget(reconciler).usePlaintext()
        .keepAliveTime(15, TimeUnit.SECONDS).keepAliveTimeout(5, TimeUnit.SECONDS).build();
    Runtime.getRuntime().addShutdownHook(new Thread(channel::shutdownNow)); // Ctrl-C: cancels the stream
    var drifts = ReconcilerServiceGrpc.newBlockingStub(channel);
    var isPruned = false; // away for longer than the history is kept: list what is open, go on from there
    while (!channel.isShutdown()) {
      try {
        if (isPruned) list(drifts);
        isPruned = false;
        read(drifts);
      } catch (StatusRuntimeException error) {
        var status = error.getStatus();
        if (channel.isShutdown()) break;
        if (MISTAKES.contains(status.getCode())) throw error;
        isPruned |= status.getCode() == Status.Code.OUT_OF_RANGE;
        System.err.println(status.getDescription() + ": again after revision " + revision);
      }
      var seconds = Math.min(10, 0.1 * Math.pow(2, failures++)) * ThreadLocalRandom.current().nextDouble(0.5, 1);
      Thread.sleep((long) (1000 * seconds));
    }
  }

  /** Shows the messages of one stream until that ends. */
  static void read(ReconcilerServiceBlockingStub drifts) {
    var from = StreamDriftEventsRequest.newBuilder();
    var request = revision == 0 ? from.setIncludeOpen(true).build() : from.setAfterRevision(revision).build();
    try (var call = Context.current().withCancellation()) { // an abandoned stream would stay open on the server
      call.run(() -> drifts.streamDriftEvents(request).forEachRemaining(FollowDrifts::take));
    }
  }

  static void take(StreamDriftEventsResponse message) {
    failures = 0;
    message.getEventsList().forEach(event -> show(event.getDrift()));
    // 0 while a snapshot is under way: it can only be resumed from once it is complete.
    if (message.getRevision() != 0) revision = message.getRevision();
  }

  /** Shows what is open. */
  static void list(ReconcilerServiceBlockingStub drifts) {
    var listed = drifts.listDrifts(ListDriftsRequest.getDefaultInstance());
    listed.getDriftsList().forEach(FollowDrifts::show);
    revision = listed.getRevision();
  }

  static void show(Drift drift) {
    var status = drift.getStatus().name().replace("DRIFT_STATUS_", "");
    System.out.println(
        "drift " + drift.getRevision() + " " + status + " " + drift.getSymbol() + ": " + drift.getSummary());
  }
}
