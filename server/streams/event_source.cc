// Events of the ranks' events files, line by line.

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/ipc/attempt_files.h"
#include "common/ipc/events.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/time_util.h"
#include "server/streams/attempt_walk.h"
#include "server/streams/stream_reader.h"
#include "server/streams/tailed_file.h"

namespace yoke::streams {
namespace {

using Frame = v1::TailMetricsResponse;
using AttemptDir = std::function<std::string(int attempt)>;

constexpr size_t kBlockBytes = 64 * 1024;
// A longer line is no event: it would not fit into a message.
constexpr size_t kLineBytesMax = 2 * 1024 * 1024;
// Looked at in one turn for one that is wanted.
constexpr int kSkippedMax = 500;

// InvalidArgument if the line is not an event.
absl::StatusOr<v1::Event> ToEvent(std::string_view line, int attempt) {
  YOKE_ASSIGN_OR_RETURN(const ipc::ParsedEvent parsed, ipc::ParseEvent(line));
  v1::Event event;
  event.set_attempt(attempt);
  event.set_rank(parsed.rank);
  event.set_seq(parsed.seq);
  event.set_type(parsed.type);
  google::protobuf::util::TimeUtil::FromString(parsed.time, event.mutable_time());
  const std::string json = parsed.fields.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const auto status = google::protobuf::util::JsonStringToMessage(json, event.mutable_fields());
  if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat("event fields: ", std::string(status.message())));
  return event;
}

class EventSource : public FrameSource<Frame> {
 public:
  EventSource(AttemptWalk walk, AttemptDir attempt_dir, const SourceOptions& options, Position position)
      : walk_(std::move(walk)), attempt_dir_(std::move(attempt_dir)), options_(options), position_(std::move(position)) {}

  absl::StatusOr<Pull> Next(Frame& frame) override {
    skipped_ = 0;
    while (true) {
      walk_.Begin(position_);
      YOKE_ASSIGN_OR_RETURN(const Pull pull, ReadOne(frame));
      if (pull != Pull::kNothing) return pull;
      YOKE_ASSIGN_OR_RETURN(const AttemptWalk::Step step, walk_.AtEnd(position_, options_.follow));
      switch (step) {
        case AttemptWalk::Step::kRead: break;
        case AttemptWalk::Step::kAdvanced:
          files_.clear();
          turn_ = 0;
          break;
        case AttemptWalk::Step::kWait: return Pull::kNothing;
        case AttemptWalk::Step::kEnd:
          *frame.mutable_end() = walk_.EndFrame();
          frame.set_resume_token(ResumeToken());
          return Pull::kFrame;
      }
    }
  }

  std::string ResumeToken() const override { return EncodeToken(StreamKind::kEvents, walk_.job_id(), position_); }

  Wait Waiting() const override {
    Wait wait;
    wait.job = walk_.job().name();
    wait.suffix = ".jsonl";
    if (position_.attempt > 0) wait.folder = attempt_dir_(position_.attempt);
    return wait;
  }

  void JobChanged() override { walk_.JobChanged(); }

 private:
  // The next wanted event: of the block at hand, else of the next rank that has a whole line.
  absl::StatusOr<Pull> ReadOne(Frame& frame) {
    const int world_size = walk_.WorldSize(position_);
    for (int tried = 0; tried <= world_size && world_size > 0; ++tried) {
      const Pull pull = TakeFromBlock(frame);
      if (pull != Pull::kNothing) return pull;
      if (tried == world_size) break;
      turn_ = (turn_ + 1) % world_size;
      YOKE_RETURN_IF_ERROR(LoadBlock(turn_));
      if (block_.find('\n') != std::string::npos) tried = -1;
    }
    return Pull::kNothing;
  }

  Pull TakeFromBlock(Frame& frame) {
    while (skipped_ < kSkippedMax) {
      const size_t newline = block_.find('\n', taken_);
      if (newline == std::string::npos) {
        block_.clear();
        taken_ = 0;
        return Pull::kNothing;
      }
      const std::string_view line(block_.data() + taken_, newline - taken_);
      absl::StatusOr<v1::Event> event = ToEvent(line, position_.attempt);
      position_.offsets[turn_] += static_cast<int64_t>(newline + 1 - taken_);
      taken_ = newline + 1;
      if (!event.ok() || !Wanted(event->type())) {
        ++skipped_;
        continue;
      }
      *frame.mutable_event() = *std::move(event);
      frame.set_resume_token(ResumeToken());
      return Pull::kFrame;
    }
    return Pull::kMore;
  }

  // What follows the rank's position: a block, or more if its first line is longer. Without any newline the
  // line is not finished yet.
  absl::Status LoadBlock(int rank) {
    taken_ = 0;
    TailedFile& file = File(rank);
    int64_t& offset = position_.offsets[rank];
    for (size_t limit = kBlockBytes;; limit *= 2) {
      YOKE_ASSIGN_OR_RETURN(block_, file.Read(offset, limit));
      if (block_.size() < limit || block_.find('\n') != std::string::npos) return absl::OkStatus();
      if (limit >= kLineBytesMax) {
        offset += static_cast<int64_t>(block_.size());
        limit = kBlockBytes / 2;
      }
    }
  }

  bool Wanted(const std::string& type) const {
    const std::vector<std::string>& types = options_.event_types;
    return types.empty() || std::find(types.begin(), types.end(), type) != types.end();
  }

  TailedFile& File(int rank) {
    const auto found = files_.find(rank);
    if (found != files_.end()) return found->second;
    const std::string path = absl::StrCat(attempt_dir_(position_.attempt), "/", ipc::RankEventsName(rank));
    return files_.emplace(rank, TailedFile(path)).first->second;
  }

  AttemptWalk walk_;
  AttemptDir attempt_dir_;
  SourceOptions options_;
  Position position_;
  std::map<int, TailedFile> files_;  // of position_.attempt
  int skipped_ = 0;                  // in this turn
  int turn_ = 0;                     // the rank block_ is of
  std::string block_;
  size_t taken_ = 0;  // bytes of block_ that were turned into events
};

}  // namespace

absl::StatusOr<std::unique_ptr<FrameSource<Frame>>> OpenEvents(jobs::JobStore& store, const AttemptDir& attempt_dir,
                                                               const SourceOptions& options) {
  YOKE_ASSIGN_OR_RETURN(AttemptWalk walk, AttemptWalk::Make(store, options.job_id));
  Position position;
  if (!options.resume_token.empty()) {
    YOKE_ASSIGN_OR_RETURN(position, DecodeToken(StreamKind::kEvents, walk.job_id(), options.resume_token));
  }
  return std::make_unique<EventSource>(std::move(walk), attempt_dir, options, std::move(position));
}

}  // namespace yoke::streams
