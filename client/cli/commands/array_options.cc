#include "client/cli/commands/array_options.h"

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/keys/spec_words.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

absl::Status Wrong(const char* flag, const std::string& text, const char* wanted) {
  return absl::InvalidArgumentError(absl::StrCat(flag, " ", text, ": ", wanted));
}

// "0-99%4", "0-99", "7".
absl::Status ReadIndices(const std::string& text, v1::Array& array) {
  constexpr char kWanted[] = "write FIRST-LAST or FIRST-LAST%AT_ONCE, e.g. 0-99%4";
  const std::vector<std::string> halves = absl::StrSplit(text, absl::MaxSplits('%', 1));
  const std::vector<std::string> ends = absl::StrSplit(halves[0], absl::MaxSplits('-', 1));
  int first = 0, last = 0, at_once = 0;
  if (!absl::SimpleAtoi(ends[0], &first) || !absl::SimpleAtoi(ends.back(), &last) || last < first ||
      first < 0) {
    return Wrong("--array", text, kWanted);
  }
  if (halves.size() == 2 && (!absl::SimpleAtoi(halves[1], &at_once) || at_once < 1))
    return Wrong("--array", text, kWanted);
  if (int64_t{last} - first >= INT32_MAX) return Wrong("--array", text, kWanted);
  array.set_first(first);
  array.set_count(last - first + 1);
  array.set_running_max(at_once);
  return absl::OkStatus();
}

// At commas outside of brackets.
std::vector<std::string> SplitValues(const std::string& text) {
  std::vector<std::string> values(1);
  int depth = 0;
  for (const char c : text) {
    depth += c == '[' || c == '(' ? 1 : c == ']' || c == ')' ? -1 : 0;
    if (c == ',' && depth == 0) {
      values.emplace_back();
    } else {
      values.back() += c;
    }
  }
  return values;
}

// "1e-4..1e-2:log"; false: no range.
bool ReadRange(absl::string_view text, v1::SweepRange& range) {
  range.set_log(absl::ConsumeSuffix(&text, ":log"));
  const std::vector<std::string> ends = absl::StrSplit(text, absl::MaxSplits("..", 1));
  double min = 0, max = 0;
  if (ends.size() != 2 || !absl::SimpleAtod(ends[0], &min) || !absl::SimpleAtod(ends[1], &max))
    return false;
  range.set_min(min);
  range.set_max(max);
  return true;
}

absl::Status ReadKey(const std::string& word, const std::string& task, const PathContext& context,
                     v1::Array& array) {
  const std::vector<std::string> parts = absl::StrSplit(word, absl::MaxSplits('=', 1));
  if (parts.size() != 2 || parts[0].empty() || parts[1].empty()) {
    return Wrong(
        "--sweep", word,
        "write KEY=VALUE,VALUE,... or, with --sweep-random, KEY=FROM..TO or KEY=FROM..TO:log");
  }
  v1::SweepKey& key = *array.add_sweep();
  key.set_key(parts[0]);
  v1::SweepRange range;
  if (ReadRange(parts[1], range)) {
    *key.mutable_range() = range;
    return absl::OkStatus();
  }
  for (const std::string& text : SplitValues(parts[1])) {
    v1::SweepValue& value = *key.add_values();
    value.set_text(text);
    YOKE_ASSIGN_OR_RETURN(*value.mutable_spec(), ParseOneKey(task, parts[0], text, context));
  }
  return absl::OkStatus();
}

}  // namespace

void AddArrayOptions(CLI::App& command, ArrayOptions& options) {
  command
      .add_option("--array", options.array,
                  "Many tasks instead of one job, e.g. 0-99%4 (4 at once); {index} in a value is "
                  "the task's index")
      ->type_name("A-B%N");
  command
      .add_option(
          "--sweep", options.sweep,
          "One task for each value: lr0=0.01,0.001; given for several keys, for each combination")
      ->type_name("KEY=V,V")
      ->expected(1)
      ->take_all();
  command
      .add_option("--sweep-random", options.random,
                  "So many tasks with values drawn at random, also from ranges: lr0=1e-4..1e-2:log")
      ->type_name("N");
  command.add_option("--sweep-seed", options.seed, "Of the draws; the same seed draws the same")
      ->type_name("N");
  command.add_option("--parallel", options.parallel, "So many tasks at once at most")
      ->type_name("N");
}

absl::Status ApplyArray(const ArrayOptions& options, const std::string& task,
                        const PathContext& context, v1::CreateJobRequest& request) {
  const bool sweeps = !options.sweep.empty();
  if (options.random < 0)
    return Wrong("--sweep-random", absl::StrCat(options.random),
                 "a number of tasks from 1 is wanted");
  if (options.parallel < 0)
    return Wrong("--parallel", absl::StrCat(options.parallel),
                 "a number of tasks from 1 is wanted");
  if (options.array.empty() && !sweeps) {
    if (options.random > 0)
      return absl::InvalidArgumentError(
          "--sweep-random draws values of the keys that --sweep names; none is named");
    if (options.parallel > 0)
      return absl::InvalidArgumentError(
          "--parallel is about the tasks of an --array or a --sweep; there is none");
    return absl::OkStatus();
  }
  v1::Array& array = *request.mutable_array();
  if (!options.array.empty()) YOKE_RETURN_IF_ERROR(ReadIndices(options.array, array));
  for (const std::string& word : options.sweep)
    YOKE_RETURN_IF_ERROR(ReadKey(word, task, context, array));
  if (options.random > 0) {
    if (!options.array.empty() && array.count() != options.random) {
      return absl::InvalidArgumentError(
          absl::StrCat("--array ", options.array, " and --sweep-random ", options.random,
                       " say different numbers of tasks; leave --array out"));
    }
    array.set_random(true);
    array.set_count(options.random);
    array.set_seed(options.seed);
  }
  if (options.parallel > 0) array.set_running_max(options.parallel);
  return absl::OkStatus();
}

}  // namespace yoke::cli
