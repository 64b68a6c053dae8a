// yoke submit FILE: a job for each line, many in one call.
#include <algorithm>
#include <iostream>
#include <iterator>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/job_list.h"
#include "client/cli/commands/project_link.h"
#include "client/cli/commands/submit.h"
#include "client/cli/keys/key_list.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/base/utf8.h"
#include "common/os/file.h"
#include "google/protobuf/util/json_util.h"

namespace yoke::cli {
namespace {

constexpr char kByteOrderMark[] = "\xef\xbb\xbf";  // some editors begin a file with it
constexpr int kBatchMax = 1000;
constexpr size_t kProblemsShown = 20;
constexpr char kPlace[] = "requests[";

// Verb -> member of the specification.
const std::vector<std::pair<std::string, std::string>>& Tasks() {
  static const std::vector<std::pair<std::string, std::string>> tasks = {
      {"train", "train"}, {"val", "validate"}, {"label", "label"}, {"process", "process"}, {"export", "export"}, {"selftest", "selftest"}};
  return tasks;
}

struct Line {
  int number = 0;
  v1::CreateJobRequest request;
  std::string project;
};

// As a shell splits it: blanks part words, quotes and backslashes keep them.
absl::StatusOr<std::vector<std::string>> SplitWords(absl::string_view text) {
  std::vector<std::string> words;
  bool inside = false;  // of a word
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == 0 && absl::ascii_isspace(c)) {
      inside = false;
      continue;
    }
    if (!inside) words.emplace_back();
    inside = true;
    if (c == quote) {
      quote = 0;
    } else if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      words.back().push_back(text[++i]);
    } else {
      words.back().push_back(c);
    }
  }
  if (quote != 0) return absl::InvalidArgumentError(absl::StrCat("a quote (", std::string(1, quote), ") is not closed"));
  return words;
}

absl::Status ParseWords(absl::string_view text, Line& line) {
  YOKE_ASSIGN_OR_RETURN(std::vector<std::string> words, SplitWords(text));
  std::vector<std::string> verbs;
  std::string task;
  for (const auto& [verb, member] : Tasks()) {
    verbs.push_back(verb);
    if (verb == words[0]) task = member;
  }
  if (task.empty()) {
    const std::string nearest = Nearest(words[0], verbs);
    return absl::InvalidArgumentError(absl::StrCat("'", words[0], "' is not one of ", absl::StrJoin(verbs, ", "),
                                                   nearest.empty() ? "" : absl::StrCat("; did you mean '", nearest, "'?")));
  }
  CLI::App command;
  const std::shared_ptr<SubmitOptions> options = AddSubmitOptions(command, task);
  try {
    command.parse(std::vector<std::string>(words.rbegin(), words.rend() - 1));
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(error.get_exit_code() == 0 ? "help is not for a file" : error.what());
  }
  if (options->follow || options->wait || options->dry_run) {
    return absl::InvalidArgumentError("--follow, --wait and --dry-run are not for a file: submit it, then use yoke logs -f and yoke job wait");
  }
  YOKE_ASSIGN_OR_RETURN(line.request, BuildRequest(task, *options, line.project));
  return absl::OkStatus();
}

absl::Status ParseLine(absl::string_view text, Line& line) {
  if (!IsUtf8(ToStd(text))) return absl::InvalidArgumentError("the line is not UTF-8");
  if (text[0] != '{') return ParseWords(text, line);
  const auto parsed = google::protobuf::util::JsonStringToMessage(std::string(text), &line.request);
  return parsed.ok() ? absl::OkStatus() : absl::InvalidArgumentError(absl::StrCat("no CreateJobRequest in JSON: ", std::string(parsed.message())));
}

absl::StatusOr<std::string> ReadText(const std::string& file) {
  if (file != "-") return os::ReadFile(file);
  return std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
}

absl::StatusOr<std::vector<Line>> ReadLines(const std::string& file) {
  YOKE_ASSIGN_OR_RETURN(const std::string whole, ReadText(file));
  const absl::string_view text = absl::StripPrefix(whole, kByteOrderMark);
  std::vector<Line> lines;
  std::vector<std::string> problems;
  int number = 0;
  for (const absl::string_view raw : absl::StrSplit(text, '\n')) {
    ++number;
    const absl::string_view stripped = absl::StripAsciiWhitespace(raw);
    if (stripped.empty() || stripped[0] == '#') continue;
    Line line;
    line.number = number;
    if (const absl::Status parsed = ParseLine(stripped, line); !parsed.ok()) {
      problems.push_back(absl::StrCat(file, ":", number, ": ", parsed.message()));
    }
    lines.push_back(std::move(line));
  }
  if (problems.size() > kProblemsShown) {
    const size_t more = problems.size() - kProblemsShown;
    problems.resize(kProblemsShown);
    problems.push_back(absl::StrCat("and ", more, " more"));
  }
  if (!problems.empty()) return absl::InvalidArgumentError(absl::StrJoin(problems, "\n"));
  if (lines.empty()) return absl::InvalidArgumentError(absl::StrCat(file, ": no job in it; write one a line, e.g. train data=set.yaml epochs=100"));
  return lines;
}

// "requests[3]: ..." of the server -> "FILE:LINE: ...".
absl::Status WithLines(const absl::Status& refused, const std::string& file, const Line* batch, size_t count) {
  std::vector<std::string> sentences;
  for (const absl::string_view sentence : absl::StrSplit(refused.message(), '\n')) {
    const size_t close = sentence.find(']');
    size_t index = 0;
    if (absl::StartsWith(sentence, kPlace) && close != absl::string_view::npos &&
        absl::SimpleAtoi(sentence.substr(sizeof kPlace - 1, close - sizeof kPlace + 1), &index) && index < count) {
      sentences.push_back(absl::StrCat(file, ":", batch[index].number, sentence.substr(close + 1)));
    } else {
      sentences.emplace_back(sentence);
    }
  }
  absl::Status status(refused.code(), absl::StrJoin(sentences, "\n"));
  refused.ForEachPayload([&status](absl::string_view url, const absl::Cord& payload) { status.SetPayload(url, payload); });
  return status;
}

// Adds what was accepted to `jobs`, also when a later part is refused.
absl::Status SubmitLines(Shell& shell, const std::string& file, const std::vector<Line>& lines, std::vector<v1::Job>& jobs) {
  YOKE_ASSIGN_OR_RETURN(client::Client * client, shell.Connect());
  for (size_t from = 0; from < lines.size(); from += kBatchMax) {
    const size_t count = std::min<size_t>(kBatchMax, lines.size() - from);
    v1::BatchCreateJobsRequest batch;
    for (size_t i = 0; i < count; ++i) *batch.add_requests() = lines[from + i].request;
    absl::StatusOr<v1::BatchCreateJobsResponse> answer = client->BatchCreateJobs(std::move(batch));
    if (!answer.ok()) return WithLines(answer.status(), file, &lines[from], count);
    for (size_t i = 0; i < count; ++i) {
      v1::Job& job = *answer->mutable_jobs(static_cast<int>(i));
      if (!lines[from + i].project.empty()) LinkIntoProject(shell, *client, job, lines[from + i].project);
      jobs.push_back(std::move(job));
    }
  }
  return absl::OkStatus();
}

int SubmitFile(Shell& shell, const std::string& file) {
  const absl::StatusOr<std::vector<Line>> lines = ReadLines(file);
  if (!lines.ok()) return shell.Fail(lines.status());
  std::vector<v1::Job> jobs;
  const absl::Status status = SubmitLines(shell, file, *lines, jobs);
  if (!jobs.empty() && !PrintJobs(shell, jobs)) {
    for (const v1::Job& job : jobs) std::cout << client::JobId(job.name()) << "\n";
  }
  std::cout << std::flush;
  if (status.ok()) {
    shell.Say(absl::StrCat(jobs.size(), jobs.size() == 1 ? " job" : " jobs", " submitted; see them: yoke jobs"));
    return client::kOk;
  }
  if (!jobs.empty()) {
    shell.Say(absl::StrCat("the jobs of the lines up to ", (*lines)[jobs.size() - 1].number, " were submitted, those after it were not"));
  } else if (lines->size() > 1) {
    shell.Say("nothing was submitted");
  }
  return shell.Fail(status);
}

}  // namespace

void AddSubmit(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("submit", "Submit a file of jobs, one a line: all of them or none");
  shell.AddOptions(*command);
  auto file = std::make_shared<std::string>();
  command->add_option("file", *file, "The file; - is stdin")->required()->type_name("FILE");
  command->footer(
      "\nA line is what would follow `yoke` (train data=set.yaml epochs=100 --priority 5), or a CreateJobRequest in JSON\n"
      "({\"spec\": {\"train\": {\"data\": \"/sets/a.yaml\"}}}). Empty lines and those that begin with # are left out.\n"
      "1000 jobs go in one call; of a longer file each 1000 are accepted together. Data sets and weights are looked at\n"
      "when a job starts.");
  command->callback(Guarded(shell, [&shell, file] { return SubmitFile(shell, *file); }));
}

}  // namespace yoke::cli
