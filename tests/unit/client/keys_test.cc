// key=value words -> specifications: what people paste, what they mistype, and what becomes of paths.
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "client/cli/keys/key_list.h"
#include "client/cli/keys/paths.h"
#include "client/cli/keys/spec_words.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yoke::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Words : public ::testing::Test {
 protected:
  Words() {
    std::string pattern = (fs::temp_directory_path() / "yoke-keys.XXXXXX").string();
    dir_ = mkdtemp(pattern.data());
    context_ = {dir_.string(), (dir_ / "home").string(), (dir_ / "weights").string()};
    Touch("set.yaml");
    Touch("here.pt");
    Touch("weights/known.pt");
  }
  ~Words() override { fs::remove_all(dir_); }

  void Touch(const std::string& name) {
    fs::create_directories((dir_ / name).parent_path());
    std::ofstream(dir_ / name) << "x";
  }
  std::string At(const std::string& name) { return (dir_ / name).string(); }
  absl::StatusOr<SpecWords> Parse(const std::string& task, const std::vector<std::string>& words) {
    return ParseSpecWords(task, words, context_);
  }
  // The error of words that must be refused.
  std::string Refused(const std::string& task, const std::vector<std::string>& words,
                      absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
    const absl::StatusOr<SpecWords> parsed = Parse(task, words);
    EXPECT_EQ(parsed.status().code(), code) << parsed.status();
    return std::string(parsed.status().message());
  }

  fs::path dir_;
  PathContext context_;
};

TEST_F(Words, ATrainingAsPeoplePasteIt) {
  const auto parsed = Parse("train", {"data=set.yaml", "model=here.pt", "epochs=3", "batch=16", "imgsz=320", "lr0=1e-3", "cos_lr=True",
                                      "deterministic=0", "optimizer=adamw", "amp=True", "cache=RAM", "device=0,1", "name=night"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const v1::TrainSpec& train = parsed->spec.train();
  EXPECT_EQ(train.data(), At("set.yaml"));
  EXPECT_EQ(train.model(), At("here.pt"));
  EXPECT_EQ(train.epochs(), 3);
  EXPECT_EQ(train.batch(), 16);
  EXPECT_DOUBLE_EQ(train.lr0(), 1e-3);
  EXPECT_TRUE(train.cos_lr());
  EXPECT_TRUE(train.has_deterministic());
  EXPECT_FALSE(train.deterministic());
  EXPECT_EQ(train.optimizer(), "AdamW");
  EXPECT_EQ(train.amp(), "true");
  EXPECT_EQ(train.cache(), "ram");
  EXPECT_EQ(parsed->spec.device(), "0,1");
  EXPECT_EQ(parsed->display_name, "night");
  EXPECT_FALSE(train.has_workers()) << "what was not said stays absent";
}

TEST_F(Words, UnknownKeysNameTheNearest) {
  EXPECT_THAT(Refused("train", {"epoch=3"}), HasSubstr("unknown key 'epoch'; did you mean 'epochs'?"));
  EXPECT_THAT(Refused("train", {"img=3"}), HasSubstr("'imgsz'"));
  EXPECT_THAT(Refused("train", {"Batch=3"}), HasSubstr("'batch'"));
  EXPECT_THAT(Refused("train", {"wieght_decay=3"}), HasSubstr("'weight_decay'"));
  EXPECT_THAT(Refused("train", {"qqqqqqqq=3"}), ::testing::Not(HasSubstr("did you mean")));
  EXPECT_THAT(Refused("validate", {"epochs=3"}), HasSubstr("yoke help keys val"));
}

TEST_F(Words, WordsAndValuesThatAreNone) {
  EXPECT_THAT(Refused("train", {"epochs"}), HasSubstr("'epochs' is not key=value"));
  EXPECT_THAT(Refused("train", {"=3"}), HasSubstr("'=3' is not key=value"));
  EXPECT_THAT(Refused("train", {"epochs=many"}), HasSubstr("epochs=many: a whole number is wanted"));
  EXPECT_THAT(Refused("train", {"epochs=3.5"}), HasSubstr("whole number"));
  EXPECT_THAT(Refused("train", {"epochs=99999999999"}), HasSubstr("whole number"));
  EXPECT_THAT(Refused("train", {"lr0=nan"}), HasSubstr("a number is wanted"));
  EXPECT_THAT(Refused("train", {"cos_lr=maybe"}), HasSubstr("True or False"));
  EXPECT_THAT(Refused("train", {"optimizer="}), HasSubstr("optimizer is empty"));
  EXPECT_THAT(Refused("train", {"epochs=1", "epochs=2"}), HasSubstr("given twice"));
}

TEST_F(Words, DevicesInEverySpelling) {
  for (const char* word : {"device=0,1", "device=[0,1]", "device=[0, 1]", "device='0,1'", "device=(0,1)"}) {
    const auto parsed = Parse("selftest", {word});
    ASSERT_TRUE(parsed.ok()) << word << parsed.status();
    EXPECT_EQ(parsed->spec.device(), "0,1") << word;
  }
  EXPECT_EQ(Parse("selftest", {"device=-1"})->spec.device(), "-1");
  EXPECT_EQ(Parse("selftest", {"device=0,,1"})->spec.device(), "0,,1") << "mangled ones are the server's to refuse";
  EXPECT_THAT(Refused("selftest", {"device="}), HasSubstr("device is empty"));
}

TEST_F(Words, NumbersThatTheReferenceAlsoWritesAsWordsOrLists) {
  EXPECT_EQ(Parse("train", {"data=set.yaml", "multi_scale=True"})->spec.train().multi_scale(), 0.5);
  EXPECT_EQ(Parse("train", {"data=set.yaml", "multi_scale=False"})->spec.train().multi_scale(), 0);
  EXPECT_EQ(Parse("train", {"data=set.yaml", "multi_scale=0.25"})->spec.train().multi_scale(), 0.25);
  EXPECT_THAT(Refused("train", {"lr0=True"}), HasSubstr("a number is wanted"));
  EXPECT_EQ(Parse("train", {"data=set.yaml", "freeze=10"})->spec.train().freeze(), 10);
  for (const char* word : {"freeze=[0,3]", "freeze=0,3"}) {
    const auto parsed = Parse("train", {"data=set.yaml", word});
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_THAT(parsed->spec.train().freeze_layers(), ElementsAre(0, 3)) << word;
    EXPECT_FALSE(parsed->spec.train().has_freeze());
  }
  EXPECT_THAT(Refused("train", {"freeze=[a]"}), HasSubstr("freeze=a: a whole number is wanted"));
}

TEST_F(Words, Lists) {
  Touch("a/x.jpg");
  Touch("b/x.jpg");
  const auto parsed = Parse("label", {"model=here.pt,weights/known.pt", "source=a,b", "out=labels", "classes=[0, 2]"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_THAT(parsed->spec.label().model(), ElementsAre(At("here.pt"), At("weights/known.pt")));
  EXPECT_THAT(parsed->spec.label().source(), ElementsAre(At("a"), At("b")));
  EXPECT_EQ(parsed->spec.label().out(), At("labels"));
  EXPECT_THAT(parsed->spec.label().classes(), ElementsAre(0, 2));
}

TEST_F(Words, ProcessSharesItsKeysWithTheTraining) {
  Touch("raw/x.jpg");
  auto alone = Parse("process", {"source=raw", "out=made", "split=0.7,0.2,0.1", "names=['a', 'b']", "on_bad_label=skip"});
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_FALSE(alone->spec.process().has_train());
  EXPECT_THAT(alone->spec.process().split(), ElementsAre(0.7, 0.2, 0.1));
  EXPECT_THAT(alone->spec.process().names(), ElementsAre("a", "b"));
  EXPECT_EQ(alone->spec.process().on_bad_label(), "skip");

  auto training = Parse("process", {"source=raw", "out=made", "epochs=2"});
  ASSERT_TRUE(training.ok()) << training.status();
  EXPECT_EQ(training->spec.process().train().epochs(), 2);

  auto preset = Parse("process", {"source=server:/raw", "out=server:/made", "preset=recommended"});
  ASSERT_TRUE(preset.ok()) << preset.status();
  EXPECT_TRUE(preset->spec.process().has_train());
  EXPECT_FALSE(preset->spec.process().train().has_model()) << "the preset chooses it";
  EXPECT_EQ(preset->spec.process().source(), "/raw");

  EXPECT_THAT(Refused("process", {"source=raw", "out=made", "data=set.yaml"}), HasSubstr("unknown key 'data'"));
}

TEST_F(Words, WeightsByFileNameAndScale) {
  EXPECT_EQ(*ResolvePath("model", "here.pt", context_), At("here.pt"));
  EXPECT_EQ(*ResolvePath("model", "known.pt", context_), At("weights/known.pt"));
  EXPECT_EQ(*ResolvePath("model", "yolov8x.yaml", context_), "yolov8x.yaml");
  EXPECT_EQ(*ResolvePath("model", "yolov8n", context_), "yolov8n.yaml");
  EXPECT_EQ(*ResolvePath("model", "server:mine.pt", context_), "mine.pt");
  Touch("yolov8n.yaml");
  EXPECT_EQ(*ResolvePath("model", "yolov8n.yaml", context_), At("yolov8n.yaml"));
  const absl::Status missing = ResolvePath("model", "yolov8n.pt", context_).status();
  EXPECT_TRUE(absl::IsNotFound(missing));
  EXPECT_THAT(std::string(missing.message()), ::testing::AllOf(HasSubstr("yolov8n.pt"), HasSubstr(dir_.string()), HasSubstr("weights")));
  EXPECT_TRUE(absl::IsNotFound(ResolvePath("model", "sub/yolov8n.pt", context_).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ResolvePath("model", "weights", context_).status()));
}

TEST_F(Words, TheDefaultWeightsAreLookedForToo) {
  EXPECT_FALSE(Parse("train", {"data=set.yaml"})->spec.train().has_model());
  Touch("weights/yolov8n.pt");
  EXPECT_EQ(Parse("train", {"data=set.yaml"})->spec.train().model(), At("weights/yolov8n.pt"));
  EXPECT_FALSE(Parse("train", {"data=set.yaml", "resume=abc"})->spec.train().has_model());
}

TEST_F(Words, DataByFileNameAndFolder) {
  EXPECT_EQ(*ResolvePath("data", "set.yaml", context_), At("set.yaml"));
  EXPECT_EQ(*ResolvePath("data", "set", context_), At("set.yaml"));
  EXPECT_EQ(*ResolvePath("data", "./../" + dir_.filename().string() + "/set.yaml", context_), At("set.yaml"));
  Touch("one/data.yaml");
  Touch("one/readme.txt");
  EXPECT_EQ(*ResolvePath("data", "one/", context_), At("one/data.yaml"));
  Touch("home/mine.yaml");
  EXPECT_EQ(*ResolvePath("data", "~/mine.yaml", context_), At("home/mine.yaml"));
  Touch("two/a.yaml");
  Touch("two/b.yml");
  EXPECT_THAT(std::string(ResolvePath("data", "two", context_).status().message()), HasSubstr("several"));
  fs::create_directories(dir_ / "none");
  EXPECT_TRUE(absl::IsInvalidArgument(ResolvePath("data", "none", context_).status()));
  EXPECT_TRUE(absl::IsNotFound(ResolvePath("data", "nowhere.yaml", context_).status()));
}

TEST_F(Words, ResumeTakesAJobOrAPath) {
  EXPECT_EQ(*ResolvePath("resume", "4k2j9", context_), "4k2j9");
  EXPECT_EQ(*ResolvePath("resume", "jobs/4k2j9", context_), "jobs/4k2j9");
  Touch("run/weights/last.pt");
  EXPECT_EQ(*ResolvePath("resume", "run", context_), At("run"));
  EXPECT_EQ(*ResolvePath("resume", "run/weights/last.pt", context_), At("run/weights/last.pt"));
  EXPECT_TRUE(absl::IsNotFound(ResolvePath("resume", "gone/last.pt", context_).status()));
}

TEST_F(Words, SourcesMustExistAndTargetsNeedNot) {
  EXPECT_TRUE(absl::IsNotFound(ResolvePath("source", "nowhere", context_).status()));
  EXPECT_EQ(*ResolvePath("out", "nowhere/", context_), At("nowhere"));
  EXPECT_EQ(*ResolvePath("out", "/", context_), "/");
  EXPECT_TRUE(absl::IsInvalidArgument(ResolvePath("out", "", context_).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ResolvePath("out", "server:", context_).status()));
}

TEST(Keys, EveryFieldOfATaskCanBeWritten) {
  for (const char* task : {"train", "validate", "label", "process", "selftest"}) {
    for (const Key& key : KeysOfTask(task)) {
      EXPECT_NE(key.field, nullptr) << task;
      EXPECT_FALSE(key.setting.help().empty()) << task << "." << key.name;
      EXPECT_THAT(KeyTable({key}), HasSubstr(key.setting.help()));
    }
  }
  EXPECT_NE(FindKey(KeysOfTask("process"), "epochs"), nullptr);
  EXPECT_EQ(FindKey(KeysOfTask("train"), "device"), nullptr);
}

}  // namespace
}  // namespace yoke::cli
