// Eight pixels at a time with AVX2 and FMA, as OpenCV's own AVX2 code computes: fixed point with 12
// fractional bits to HSV, single precision back, truncated. Built without contraction, so that
// multiplications and additions are fused where written, and nowhere else.
#include "server/engine/data/augment/hsv_rows.h"

#if defined(__x86_64__)

#include <immintrin.h>

namespace yoke::engine {
namespace {

#define YOKE_AVX2 __attribute__((target("avx2,fma")))
#define YOKE_AVX2_INLINE YOKE_AVX2 __attribute__((always_inline)) inline

constexpr int kShift = 12;

YOKE_AVX2_INLINE __m256i Divide(int dividend, __m256 by) {
  return _mm256_cvtps_epi32(_mm256_div_ps(_mm256_set1_ps(static_cast<float>(dividend)),
                                          _mm256_max_ps(by, _mm256_set1_ps(1))));
}

YOKE_AVX2_INLINE __m256i MultiplyRounded(__m256i a, __m256i b) {
  return _mm256_srai_epi32(
      _mm256_add_epi32(_mm256_mullo_epi32(a, b), _mm256_set1_epi32(1 << (kShift - 1))), kShift);
}

// min(trunc(v * factor), 255) / 255
YOKE_AVX2_INLINE __m256 Gain(__m256 v, float factor) {
  const __m256i gained = _mm256_cvttps_epi32(_mm256_mul_ps(v, _mm256_set1_ps(factor)));
  return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_min_epi32(gained, _mm256_set1_epi32(255))),
                       _mm256_set1_ps(1.0f / 255.0f));
}

YOKE_AVX2_INLINE __m256 Unit(__m256 v) {
  return _mm256_min_ps(_mm256_max_ps(v, _mm256_setzero_ps()), _mm256_set1_ps(1));
}

// value * (1 - saturation * part) as eight bytes
YOKE_AVX2_INLINE void Store(__m256 value, __m256 saturation, __m256 part, uint8_t* out) {
  const __m256 share = _mm256_fnmadd_ps(saturation, part, _mm256_set1_ps(1));
  const __m256i whole =
      _mm256_cvttps_epi32(_mm256_mul_ps(_mm256_mul_ps(value, share), _mm256_set1_ps(255)));
  const __m128i words =
      _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_packus_epi16(words, words));
}

YOKE_AVX2 void Avx2Row(const uint8_t* bgrx, int count, bool mirrored, const HsvFactors& factors,
                       const std::array<uint8_t*, 3>& planes_bgr) {
  const __m256i byte = _mm256_set1_epi32(255), turn = _mm256_set1_epi32(180),
                last = _mm256_set1_epi32(179);
  const __m256i backwards = _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0);
  for (int i = 0; i < count; i += 8) {
    const int at = mirrored ? count - 8 - i : i;
    __m256i px = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bgrx + 4 * at));
    if (mirrored) px = _mm256_permutevar8x32_epi32(px, backwards);
    const __m256i b = _mm256_and_si256(px, byte),
                  g = _mm256_and_si256(_mm256_srli_epi32(px, 8), byte);
    const __m256i r = _mm256_and_si256(_mm256_srli_epi32(px, 16), byte);

    const __m256i v = _mm256_max_epi32(_mm256_max_epi32(b, g), r);
    const __m256i d = _mm256_sub_epi32(v, _mm256_min_epi32(_mm256_min_epi32(b, g), r));
    const __m256 value = _mm256_cvtepi32_ps(v);
    const __m256i s = MultiplyRounded(d, Divide(255 << kShift, value));
    const __m256i d2 = _mm256_add_epi32(d, d);
    const __m256i from_r = _mm256_sub_epi32(g, b),
                  from_g = _mm256_add_epi32(_mm256_sub_epi32(b, r), d2);
    const __m256i from_b = _mm256_add_epi32(_mm256_sub_epi32(r, g), _mm256_add_epi32(d2, d2));
    __m256i h = _mm256_blendv_epi8(from_b, from_g, _mm256_cmpeq_epi32(v, g));
    h = _mm256_blendv_epi8(h, from_r, _mm256_cmpeq_epi32(v, r));
    h = MultiplyRounded(h, Divide((180 << kShift) / 6, _mm256_cvtepi32_ps(d)));
    h = _mm256_add_epi32(h, _mm256_and_si256(_mm256_srai_epi32(h, 31), turn));

    const __m256 s1 = Gain(_mm256_cvtepi32_ps(s), factors.saturation),
                 v1 = Gain(value, factors.value);
    h = _mm256_cvttps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(h), _mm256_set1_ps(factors.hue)));
    h = _mm256_add_epi32(h, _mm256_set1_epi32(factors.hue_shift));
    h = _mm256_sub_epi32(h, _mm256_and_si256(_mm256_cmpgt_epi32(h, last), turn));

    // A sixth of a turn is 1. What of the saturation each channel loses is 0, 1 or runs between
    // them.
    const __m256 turned = _mm256_mul_ps(_mm256_cvtepi32_ps(h), _mm256_set1_ps(6.0f / 180.0f));
    const auto after = [&](float from)
                           YOKE_AVX2 { return _mm256_sub_ps(turned, _mm256_set1_ps(from)); };
    const auto before = [&](float to)
                            YOKE_AVX2 { return _mm256_sub_ps(_mm256_set1_ps(to), turned); };
    Store(v1, s1, Unit(_mm256_max_ps(before(3), after(5))), planes_bgr[0] + i);
    Store(v1, s1, Unit(_mm256_max_ps(before(1), after(3))), planes_bgr[1] + i);
    Store(v1, s1, Unit(_mm256_min_ps(after(1), before(5))), planes_bgr[2] + i);
  }
}

#undef YOKE_AVX2_INLINE
#undef YOKE_AVX2

}  // namespace

HsvRow FastHsvRow() {
  static const bool able = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return able ? Avx2Row : nullptr;
}

}  // namespace yoke::engine

#else

yoke::engine::HsvRow yoke::engine::FastHsvRow() { return nullptr; }

#endif
