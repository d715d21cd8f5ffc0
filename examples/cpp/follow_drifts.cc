// Opens a position, then follows the drifts of the desk for ever.
//
//     cmake -B build && cmake --build build && build/follow_drifts [POSITION_ADDRESS [RECONCILER_ADDRESS]]
//
// Whatever ends the stream, it goes on after the last revision that was seen: nothing is lost, nothing comes twice.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <iostream>
#include <memory>
#include <string>
#include <thread>

#include <grpcpp/grpcpp.h>

#include "trueup/position/v1/position_service.grpc.pb.h"
#include "trueup/reconciler/v1/reconciler_service.grpc.pb.h"

namespace position = trueup::position::v1;
namespace reconciler = trueup::reconciler::v1;
using namespace std::chrono_literals;

std::atomic<bool> stopping{false};

void show(const trueup::types::v1::Drift& drift) {
  auto status = trueup::types::v1::DriftStatus_Name(drift.status()).substr(sizeof("DRIFT_STATUS_") - 1);
  std::cout << "drift " << drift.revision() << " " << status << " " << drift.symbol() << ": " << drift.summary()
            << std::endl;
}

bool is_mistake(grpc::StatusCode code) {  // repeating would not mend it
  switch (code) {
    case grpc::INVALID_ARGUMENT: case grpc::UNAUTHENTICATED: case grpc::PERMISSION_DENIED:
    case grpc::UNIMPLEMENTED: case grpc::FAILED_PRECONDITION: return true;
    default: return false;
  }
}

int main(int argc, char** argv) {
  std::signal(SIGINT, [](int) { stopping = true; });
  const auto plaintext = grpc::InsecureChannelCredentials();
  const std::string position_address = argc > 1 ? argv[1] : "127.0.0.1:50051";
  const std::string reconciler_address = argc > 2 ? argv[2] : "127.0.0.1:50052";

  auto positions = position::PositionService::NewStub(grpc::CreateChannel(position_address, plaintext));
  position::OpenPositionRequest request;
  request.set_asset("DOT/USD");
  request.set_size("80");  // amounts are decimal strings: no digit is lost
  request.set_entry_price("6.4");
  request.set_leverage("3");
  request.set_request_id("example-cpp");  // makes it safe to repeat: it happens once
  position::OpenPositionResponse opened;
  grpc::ClientContext once;
  once.set_deadline(std::chrono::system_clock::now() + 10s);
  if (auto status = positions->OpenPosition(&once, request, &opened); !status.ok()) {
    std::cerr << status.error_message() << std::endl;
    return 1;
  }
  std::cout << "opened " << opened.position().symbol() << " " << opened.position().size() << " at "
            << opened.position().entry_price() << std::endl;

  grpc::ChannelArguments keepalive;
  keepalive.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 15000);
  keepalive.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
  auto drifts = reconciler::ReconcilerService::NewStub(
      grpc::CreateCustomChannel(reconciler_address, plaintext, keepalive));

  std::int64_t revision = 0;
  for (int failures = 0; !stopping;) {
    grpc::ClientContext context;
    reconciler::StreamDriftEventsRequest from;
    if (revision == 0) from.set_include_open(true);
    else from.set_after_revision(revision);
    auto stream = drifts->StreamDriftEvents(&context, from);
    reconciler::StreamDriftEventsResponse message;
    while (!stopping && stream->Read(&message)) {
      failures = 0;
      for (const auto& event : message.events()) show(event.drift());
      // 0 while a snapshot is under way: it can only be resumed from once it is complete.
      if (message.revision() != 0) revision = message.revision();
    }
    if (stopping) context.TryCancel();  // an abandoned stream would stay open on the server
    auto status = stream->Finish();     // why it ended, unless it was cancelled
    if (stopping) break;
    if (status.error_code() == grpc::OUT_OF_RANGE) {
      // Away for longer than the history is kept: list what is open, go on from there.
      grpc::ClientContext list;
      reconciler::ListDriftsResponse listed;
      if (drifts->ListDrifts(&list, {}, &listed).ok()) {
        for (const auto& drift : listed.drifts()) show(drift);
        revision = listed.revision();
        continue;
      }
    }
    if (is_mistake(status.error_code())) {
      std::cerr << status.error_message() << std::endl;
      return 1;
    }
    std::cerr << status.error_message() << ": again after revision " << revision << std::endl;
    std::this_thread::sleep_for(std::min(10000ms, 100ms * (1 << std::min(failures++, 7))));
  }
}
