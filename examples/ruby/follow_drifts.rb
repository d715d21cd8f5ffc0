# Opens a position, then follows the drifts of the desk for ever.
#
#     mkdir -p build && protoc --descriptor_set_in=../../protos/gen/trueup/plain.binpb \
#            --ruby_out=build --grpc_out=build --plugin=protoc-gen-grpc="$(which grpc_ruby_plugin)" \
#            trueup/types/v1/{types,drift}.proto \
#            trueup/position/v1/{position,position_service}.proto trueup/reconciler/v1/reconciler_service.proto
#     ruby -I build follow_drifts.rb [POSITION_ADDRESS [RECONCILER_ADDRESS]]
#
# Whatever ends the stream, it goes on after the last revision that was seen: nothing is lost, nothing comes twice.
# Debian: apt-get install ruby-grpc protobuf-compiler protobuf-compiler-grpc

require 'grpc'
require 'trueup/position/v1/position_service_services_pb'
require 'trueup/reconciler/v1/reconciler_service_services_pb'

include Trueup
$stdout.sync = true
position, reconciler = ARGV[0] || '127.0.0.1:50051', ARGV[1] || '127.0.0.1:50052'
keepalive = { 'grpc.keepalive_time_ms' => 15_000, 'grpc.keepalive_timeout_ms' => 5_000 }
positions = Position::V1::PositionService::Stub.new(position, :this_channel_is_insecure, timeout: 10)
drifts = Reconciler::V1::ReconcilerService::Stub.new(reconciler, :this_channel_is_insecure, channel_args: keepalive)

def show(drift)
  puts "drift #{drift.revision} #{drift.status.to_s.delete_prefix('DRIFT_STATUS_')} #{drift.symbol}: #{drift.summary}"
end

# A request id makes it safe to repeat: it happens once. Amounts are decimal strings: no digit is lost.
order = { asset: 'ATOM/USD', size: '60', entry_price: '8.2', leverage: '3', request_id: 'example-ruby' }
opened = positions.open_position(Position::V1::OpenPositionRequest.new(**order)).position
puts "opened #{opened.symbol} #{opened.size} at #{opened.entry_price}"

# Repeating would not mend these.
mistakes = [GRPC::InvalidArgument, GRPC::Unauthenticated, GRPC::PermissionDenied, GRPC::Unimplemented, GRPC::FailedPrecondition]
revision = failures = 0
loop do
  from = revision.zero? ? { include_open: true } : { after_revision: revision }
  call = drifts.stream_drift_events(Reconciler::V1::StreamDriftEventsRequest.new(**from), return_op: true)
  begin
    call.execute.each do |message|
      failures = 0
      message.events.each { |event| show(event.drift) }
      # 0 while a snapshot is under way: it can only be resumed from once it is complete.
      revision = message.revision unless message.revision.zero?
    end
  rescue GRPC::OutOfRange
    # Away for longer than the history is kept: list what is open, go on from there.
    if (listed = drifts.list_drifts(Reconciler::V1::ListDriftsRequest.new) rescue nil)
      listed.drifts.each { |drift| show(drift) }
      revision = listed.revision
      next
    end
  rescue *mistakes
    raise
  rescue GRPC::BadStatus => error
    warn "#{error.details}: again after revision #{revision}"
  ensure
    call.cancel # an abandoned stream would stay open on the server
  end
  sleep [10, 0.1 * 2**[failures, 10].min].min * rand(0.5..1.0)
  failures += 1
rescue Interrupt
  break
end
