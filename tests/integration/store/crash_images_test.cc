// Power loss at any moment: whatever of the unsynced writes the disk kept, every acknowledged job
// is there, in the state that was acknowledged or in the one that was being written.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/mutex.h"
#include "server/jobs/array.h"
#include "server/jobs/ids.h"
#include "server/jobs/state_machine.h"
#include "server/jobs/sweep.h"
#include "server/store/job_store_sqlite.h"
#include "tests/support/crash_log/crash_log.h"

namespace yoke::store {
namespace {

using jobs::JobRecord;
using jobs::JobStore;
using v1::Job;
namespace fs = std::filesystem;

constexpr int kThreads = 3;
constexpr int kJobsOfThread = 30;
constexpr int kTasks = 36;
constexpr int kTasksAtOnce = 3;

struct Step {
  Job::State state = Job::QUEUED;
  int epoch = 0;
};

// A job's way through its states, and when each step was acknowledged.
struct Life {
  std::string id, request;
  std::vector<Step> steps;
  std::vector<size_t> acknowledged;
};

std::string Memory() {
  return fs::exists("/dev/shm") ? "/dev/shm" : fs::temp_directory_path().string();
}

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::atoll(value);
}

class CrashImages : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = Memory() + "/yoke-crash.XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    root_ = path;
    fs::create_directory(root_ + "/live");
  }
  void TearDown() override { fs::remove_all(root_); }

  StoreOptions Options(const std::string& folder) const {
    return {.path = folder + "/yoke.db",
            .must_exist = true,
            .journal_rewrite_bytes = journal_rewrite_bytes_,
            .log_pages = 500,
            .reserve_bytes = 0};
  }

  void Live(JobStore& store, int thread) {
    for (int i = 0; i < kJobsOfThread; ++i) {
      Life life;
      JobRecord job;
      life.id = job.id = jobs::NewJobId();
      life.request = job.request_id = absl::StrCat("request-", thread, "-", i);
      job.request_hash = "h";
      job.public_job.set_owner("ann");
      job.public_job.set_state(Job::QUEUED);
      job.public_job.set_display_name(std::string(static_cast<size_t>(100 + 37 * i), 'n'));
      life.steps = {{Job::QUEUED, 0}};
      if (i % 5 == 0) {
        life.steps.push_back({Job::CANCELLED, 0});
      } else if (i % 5 != 1) {
        life.steps.insert(
            life.steps.end(),
            {{Job::STARTING, 0}, {Job::RUNNING, 0}, {Job::RUNNING, 1}, {Job::SUCCEEDED, 1}});
      }
      ASSERT_TRUE(store.Create(job).ok());
      life.acknowledged.push_back(crash_log::Position());
      for (size_t step = 1; step < life.steps.size(); ++step) {
        ASSERT_TRUE(Take(store, life, life.steps[step], absl::StrCat("GPU-", thread)).ok());
        life.acknowledged.push_back(crash_log::Position());
      }
      MutexLock lock(mutex_);
      lives_.push_back(std::move(life));
    }
  }

  // An array whose tasks are made a few at a time.
  void LiveArray(JobStore& store) {
    JobRecord array;
    array.id = jobs::NewJobId();
    array.public_job.set_owner("ann");
    array.public_job.set_state(Job::QUEUED);
    array.public_job.mutable_array()->set_count(kTasks);
    v1::JobSpec asked;
    asked.mutable_train()->set_data("/folds/{index}.yaml");
    ASSERT_TRUE(jobs::CompleteArray(asked, 1, *array.public_job.mutable_array()).empty());
    ASSERT_TRUE(store.Create(array).ok());
    array_id_ = array.id;
    for (int made = 0; made < kTasks; made += kTasksAtOnce) {
      tasks_acknowledged_.push_back(crash_log::Position());
      ASSERT_TRUE(store
                      .UpdateArray(array_id_,
                                   [](jobs::ArrayWithTasks& change) {
                                     return jobs::MakeTasks(kTasksAtOnce, absl::Now(),
                                                            jobs::NewJobId, change);
                                   })
                      .ok());
    }
    tasks_acknowledged_.push_back(crash_log::Position());
  }

  // Every task that was acknowledged is there, each once, and the array knows of all of them.
  std::string JudgeArray(const std::vector<JobRecord>& found, size_t position) {
    const auto acknowledged =
        std::count_if(tasks_acknowledged_.begin(), tasks_acknowledged_.end(),
                      [position](size_t at) { return at <= position; });
    std::multiset<int> indices;
    const v1::Array* array = nullptr;
    for (const JobRecord& job : found) {
      if (job.id == array_id_) array = &job.public_job.array();
      if (jobs::IsTask(job.public_job)) indices.insert(job.public_job.array_index());
    }
    if (array == nullptr)
      return acknowledged > 0 || !indices.empty() ? "the array is lost" : "";
    std::multiset<int> expected;
    for (int i = 0; i < array->made(); ++i) expected.insert(i);
    if (indices == expected && array->made() >= (acknowledged - 1) * kTasksAtOnce &&
        array->failed() == 0)
      return "";
    return absl::StrCat("the array has made ", array->made(), " tasks, ", array->failed(),
                        " failed; there are ", absl::StrJoin(indices, ","), "; acknowledged: ",
                        acknowledged);
  }

  static absl::Status Take(JobStore& store, const Life& life, const Step& step,
                           const std::string& device) {
    return store
        .Update(life.id,
                [&](JobRecord& job, JobStore::LeaseChange& leases) {
                  job.public_job.set_state(step.state);
                  if (step.epoch > 0) job.public_job.mutable_progress()->set_epoch(step.epoch);
                  if (step.state == Job::STARTING) {
                    job.public_job.add_attempts()->add_device_uuids(device);
                    leases.take = {device};
                  }
                  if (step.state == Job::SUCCEEDED) leases.release = {device};
                  return absl::OkStatus();
                })
        .status();
  }

  // What is wrong with the image in `folder`; empty if nothing is.
  std::string Judge(const std::string& folder, size_t position, bool thorough) {
    std::vector<std::string> notes;
    auto opened = OpenJobStore(Options(folder), &notes);
    if (!opened.ok()) return absl::StrCat("cannot be opened: ", opened.status().ToString());
    for (const std::string& note : notes) {
      const bool mended =
          absl::StrContains(note, "made anew") || absl::StrContains(note, "damaged");
      if (mended && !database_lies_) return note;
    }
    std::unique_ptr<JobStore> store = std::move(*opened);
    std::string problem = JudgeJobs(*store, position);
    if (!problem.empty() || !thorough) return problem;
    // It works on, and the next start finds the same.
    JobRecord fresh;
    fresh.id = jobs::NewJobId();
    fresh.public_job.set_state(Job::QUEUED);
    if (const auto created = store->Create(fresh); !created.ok())
      return created.status().ToString();
    store.reset();
    opened = OpenJobStore(Options(folder), &notes);
    if (!opened.ok()) return absl::StrCat("cannot be opened again: ", opened.status().ToString());
    if (!(*opened)->Get(fresh.id).ok()) return "the job that was accepted afterwards is lost";
    return JudgeJobs(**opened, position);
  }

  std::string JudgeJobs(JobStore& store, size_t position) {
    const auto page = store.List({}, 1000, "");
    if (!page.ok()) return page.status().ToString();
    std::map<std::string, const JobRecord*> found;
    std::set<std::string> requests;
    std::vector<std::string> holders;
    for (const JobRecord& job : page->jobs) {
      found[job.id] = &job;
      if (!job.request_id.empty() && !requests.insert(job.request_id).second)
        return absl::StrCat("twice: ", job.request_id);
      if (jobs::HasLiveAttempt(job.public_job.state()) && !jobs::IsArray(job.public_job))
        holders.push_back(job.id);
    }
    if (const std::string wrong = JudgeArray(page->jobs, position); !wrong.empty()) return wrong;
    for (const Life& life : lives_) {
      const size_t acknowledged =
          static_cast<size_t>(std::count_if(life.acknowledged.begin(), life.acknowledged.end(),
                                            [position](size_t at) { return at <= position; }));
      const auto job = found.find(life.id);
      if (job == found.end()) {
        if (acknowledged > 0) return absl::StrCat("job ", life.id, " is lost");
        continue;
      }
      const auto is = [&job, this](const Step& step) {
        const v1::Job& shown = job->second->public_job;
        // The journal leaves progress to the files of the attempt.
        return step.state == shown.state() && (step.epoch == shown.progress().epoch() ||
                                               (database_lies_ && step.state == Job::RUNNING));
      };
      const bool right = (acknowledged > 0 && is(life.steps[acknowledged - 1])) ||
                         (acknowledged < life.steps.size() && is(life.steps[acknowledged]));
      if (!right) {
        return absl::StrCat(
            "job ", life.id, " is ", Job::State_Name(job->second->public_job.state()), ", epoch ",
            job->second->public_job.progress().epoch(), "; acknowledged: ", acknowledged, " steps");
      }
    }
    const auto leases = store.ListLeases();
    if (!leases.ok() || leases->size() != holders.size())
      return absl::StrCat(holders.size(), " live jobs, but other leases");
    for (const jobs::Lease& lease : *leases) {
      if (std::find(holders.begin(), holders.end(), lease.job_id) == holders.end())
        return absl::StrCat("lease of ", lease.job_id);
    }
    return "";
  }

  int64_t journal_rewrite_bytes_ = 20'000;
  bool database_lies_ = false;  // its files may be as they like
  std::string root_;
  Mutex mutex_;
  std::vector<Life> lives_;
  std::string array_id_;
  std::vector<size_t> tasks_acknowledged_;  // of the array itself, then of each few tasks
};

TEST_F(CrashImages, NoAcknowledgedJobIsLostInAnyOfThem) {
  const bool long_tier =
      std::string(std::getenv("YOKE_TEST_TIER") == nullptr ? "" : std::getenv("YOKE_TEST_TIER")) ==
      "long";
  const int64_t images = FromEnvironment("YOKE_CRASH_IMAGES", long_tier ? 50'000 : 2'000);
  const uint64_t seed = static_cast<uint64_t>(FromEnvironment("YOKE_CRASH_SEED", 1));
  const std::string live = root_ + "/live", image = root_ + "/image";
  StoreOptions options = Options(live);
  options.must_exist = false;
  auto store = OpenJobStore(options);
  ASSERT_TRUE(store.ok()) << store.status();
  crash_log::Record(live);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back([&, i] { Live(**store, i); });
  threads.emplace_back([&] { LiveArray(**store); });
  for (std::thread& thread : threads) thread.join();
  const crash_log::Log log = crash_log::Stop();
  store->reset();
  ASSERT_EQ(lives_.size(), static_cast<size_t>(kThreads * kJobsOfThread));
  const auto count = [&log](crash_log::Op::Kind kind) {
    return std::count_if(log.ops.begin(), log.ops.end(),
                         [kind](const crash_log::Op& op) { return op.kind == kind; });
  };
  // The log holds what it is about: compactions of the journal, and a checkpoint of the database.
  EXPECT_GT(count(crash_log::Op::kRename), 1);
  EXPECT_GT(count(crash_log::Op::kSync), 100);
  EXPECT_TRUE(std::any_of(log.ops.begin(), log.ops.end(), [&](const crash_log::Op& op) {
    return op.kind == crash_log::Op::kSync && op.inode == log.names.at("yoke.db");
  }));

  std::mt19937_64 random(seed);
  std::vector<size_t> positions;
  for (int64_t i = 0; i < images; ++i) positions.push_back(random() % (log.ops.size() + 1));
  std::sort(positions.begin(), positions.end());
  crash_log::Disk disk(log);
  for (size_t i = 0; i < positions.size(); ++i) {
    const uint64_t image_seed = random();
    disk.AdvanceTo(positions[i]);
    disk.WriteImage(image, image_seed);
    const std::string problem = Judge(image, positions[i], i % 20 == 0);
    ASSERT_EQ(problem, "") << "after " << positions[i] << " of " << log.ops.size()
                           << " operations, image seed " << image_seed
                           << "; again with YOKE_CRASH_SEED=" << seed;
  }
  std::printf("%zu images of %zu operations\n", positions.size(), log.ops.size());
}

TEST_F(CrashImages, TheJournalAloneGivesAllJobsBackWhenTheDatabasesSyncsWereLies) {
  database_lies_ = true;
  journal_rewrite_bytes_ =
      64 << 20;  // a journal that was rewritten leaves ended jobs to the database
  const std::string live = root_ + "/live", image = root_ + "/image";
  StoreOptions options = Options(live);
  options.must_exist = false;
  auto store = OpenJobStore(options);
  ASSERT_TRUE(store.ok()) << store.status();
  crash_log::Record(live);
  LiveArray(**store);
  Live(**store, 0);
  crash_log::Log log = crash_log::Stop();
  store->reset();
  for (crash_log::Op& op : log.ops) {
    const bool of_journal = op.inode == log.names.at("submissions.journal");
    if (op.kind == crash_log::Op::kSync && !of_journal)
      op = {crash_log::Op::kWrite, op.inode, 0, "", "", ""};
  }
  crash_log::Disk disk(log);
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const size_t position = log.ops.size() * (seed + 1) / 200;
    disk.AdvanceTo(position);
    disk.WriteImage(image, seed);
    ASSERT_EQ(Judge(image, position, seed % 20 == 0), "")
        << "image seed " << seed << " after " << position << " operations";
  }
}

// The judge must be able to say no: without the last sync of what was acknowledged, jobs are lost.
TEST_F(CrashImages, ADiskThatLiesAboutItsSyncsIsFoundOut) {
  const std::string live = root_ + "/live", image = root_ + "/image";
  StoreOptions options = Options(live);
  options.must_exist = false;
  auto store = OpenJobStore(options);
  ASSERT_TRUE(store.ok()) << store.status();
  crash_log::Record(live);
  Live(**store, 0);
  crash_log::Log log = crash_log::Stop();
  store->reset();
  for (crash_log::Op& op : log.ops) {
    // Syncs that do nothing.
    if (op.kind == crash_log::Op::kSync) op = {crash_log::Op::kWrite, op.inode, 0, "", "", ""};
  }
  crash_log::Disk disk(log);
  disk.AdvanceTo(log.ops.size());
  int found_out = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    disk.WriteImage(image, seed);
    found_out += Judge(image, log.ops.size(), false).empty() ? 0 : 1;
  }
  EXPECT_GT(found_out, 10);
}

}  // namespace
}  // namespace yoke::store
