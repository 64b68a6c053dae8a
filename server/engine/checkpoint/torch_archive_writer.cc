#include <cstring>

#include "absl/strings/str_cat.h"
#include "caffe2/serialize/inline_container.h"
#include "server/engine/checkpoint/atomic_file.h"
#include "server/engine/checkpoint/torch_value.h"

namespace yoke::engine {
namespace {

using Kind = TorchValue::Kind;

// Emits protocol 2 opcodes (see Python's pickletools) and collects the tensors they refer to.
class PickleWriter {
 public:
  PickleWriter() { bytes_ = "\x80\x02"; }

  void Write(const TorchValue& value);
  std::string Finish() { return std::move(bytes_ += '.'); }
  const std::vector<at::Tensor>& storages() const { return storages_; }

 private:
  void Global(const std::string& module, const std::string& name) {
    absl::StrAppend(&bytes_, "c", module, "\n", name, "\n");
  }
  void Global(const std::string& full_name) {
    const size_t dot = full_name.rfind('.');
    Global(full_name.substr(0, dot), full_name.substr(dot + 1));
  }
  void Integer(int64_t value) {
    bytes_ += "\x8a\x08";
    Raw(value);
  }
  // Big-endian, unlike all else.
  void Float(double value) {
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    bytes_ += 'G';
    Raw(__builtin_bswap64(bits));
  }
  void Text(const std::string& value) {
    bytes_ += 'X';
    Raw(static_cast<uint32_t>(value.size()));
    bytes_ += value;
  }
  void Integers(c10::IntArrayRef values) {
    bytes_ += '(';
    for (const int64_t value : values) Integer(value);
    bytes_ += 't';
  }
  void Items(const std::vector<TorchValue>& items) {
    for (const TorchValue& item : items) Write(item);
  }
  void Entries(const TorchValue::Entries& entries) {
    if (entries.empty()) return;
    bytes_ += '(';
    for (const auto& [key, value] : entries) {
      Write(key);
      Write(value);
    }
    bytes_ += 'u';
  }
  void EmptyOrderedDict() {
    Global("collections", "OrderedDict");
    bytes_ += ")R";
  }
  void Tensor(const at::Tensor& tensor);

  template <typename T>
  void Raw(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }

  std::string bytes_;
  std::vector<at::Tensor> storages_;
};

const char* StorageName(at::ScalarType type) {
  return type == at::kHalf ? "HalfStorage" : type == at::kLong ? "LongStorage" : "FloatStorage";
}

// _rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())
void PickleWriter::Tensor(const at::Tensor& tensor) {
  const at::ScalarType type = tensor.scalar_type();
  const at::ScalarType kept = type == at::kHalf            ? type
                              : tensor.is_floating_point() ? at::kFloat
                                                           : at::kLong;
  const at::Tensor plain = tensor.detach().to(at::kCPU, kept).contiguous();
  Global("torch._utils", "_rebuild_tensor_v2");
  bytes_ += "((";
  Text("storage");
  Global("torch", StorageName(kept));
  Text(absl::StrCat(storages_.size()));
  Text("cpu");
  Integer(plain.numel());
  bytes_ += "tQ";
  Integer(0);
  Integers(plain.sizes());
  Integers(plain.strides());
  bytes_ += '\x89';
  EmptyOrderedDict();
  bytes_ += "tR";
  storages_.push_back(plain);
}

void PickleWriter::Write(const TorchValue& value) {
  switch (value.kind()) {
    case Kind::kNone:
      bytes_ += 'N';
      return;
    case Kind::kBool:
      bytes_ += value.integer() != 0 ? '\x88' : '\x89';
      return;
    case Kind::kInteger:
      return Integer(value.integer());
    case Kind::kFloat:
      return Float(value.real());
    case Kind::kText:
      return Text(value.text());
    case Kind::kTensor:
      return Tensor(value.tensor());
    case Kind::kParameter:  // _rebuild_parameter(tensor, requires_grad=False, OrderedDict())
      Global("torch._utils", "_rebuild_parameter");
      bytes_ += '(';
      Tensor(value.tensor());
      bytes_ += '\x89';
      EmptyOrderedDict();
      bytes_ += "tR";
      return;
    case Kind::kList:
      bytes_ += "](";
      Items(value.items());
      bytes_ += 'e';
      return;
    case Kind::kTuple:
      bytes_ += '(';
      Items(value.items());
      bytes_ += 't';
      return;
    case Kind::kDict:
      bytes_ += '}';
      return Entries(value.entries());
    case Kind::kOrderedDict:
      EmptyOrderedDict();
      return Entries(value.entries());
    case Kind::kSet:
      Global("__builtin__", "set");
      bytes_ += "]\x85R";
      return;
    case Kind::kObject:
      Global(value.text());
      bytes_ += ")\x81}";
      Entries(value.entries());
      bytes_ += 'b';
      return;
  }
}

}  // namespace

absl::Status WriteTorchFile(const std::string& path, const TorchValue& root) {
  PickleWriter pickle;
  pickle.Write(root);
  const std::string bytes = pickle.Finish();
  AtomicFile file(path);
  try {
    caffe2::serialize::PyTorchStreamWriter zip([&file](const void* data, size_t size) {
      file.Write(data, size);
      return size;
    });
    zip.writeRecord("data.pkl", bytes.data(), bytes.size());
    zip.writeRecord("byteorder", "little", std::strlen("little"));
    for (size_t i = 0; i < pickle.storages().size(); ++i) {
      const at::Tensor& storage = pickle.storages()[i];
      zip.writeRecord(absl::StrCat("data/", i), storage.data_ptr(), storage.nbytes());
    }
    zip.writeEndOfFile();
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("cannot write ", path, ": ", error.what()));
  }
  return file.Commit();
}

}  // namespace yoke::engine
