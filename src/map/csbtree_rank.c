/* csbtree_rank.c - how many of a node's ranks are below one: the inner loop of every search.
 *
 * By halving, without branches: the compiler turns the choice into a conditional move, and nothing is
 * mispredicted. Where the processor has AVX2, all ranks are compared, four at a time: that is more work,
 * but no step waits for the one before it, neither for the comparison nor for memory. */
#include "map/csbtree_node.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_WIDE
#include <immintrin.h>
#endif

#include "base/banned.h"

static uint32_t count_by_halving(const union csb_word *ranks, uint32_t count, int64_t rank)
{
    const union csb_word *base = ranks;

    if (count == 0)
        return 0;
    while (count > 1) {
        uint32_t half = count / 2;
        base += half & (0u - (uint32_t)(base[half - 1].rank < rank));
        count -= half;
    }
    return (uint32_t)(base - ranks) + (base->rank < rank);
}

#ifdef HAS_WIDE
bool kvault__csb_can_search_wide(void)
{
    return __builtin_cpu_supports("avx2");
}

__attribute__((target("avx2"))) static uint32_t count_wide(const union csb_word *ranks, uint32_t count, int64_t rank)
{
    __m256i key = _mm256_set1_epi64x(rank), sum = _mm256_setzero_si256(), other = _mm256_setzero_si256();
    const __m256i lanes = _mm256_set_epi64x(3, 2, 1, 0);
    uint32_t at = 0;
    __m128i half;

    /* A rank below adds -1 to its lane. Two sums, so that additions need not wait for each other. */
    for (; at + 8 <= count; at += 8) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(ranks + at));
        __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(ranks + at + 4));

        sum = _mm256_add_epi64(sum, _mm256_cmpgt_epi64(key, a));
        other = _mm256_add_epi64(other, _mm256_cmpgt_epi64(key, b));
    }
    sum = _mm256_add_epi64(sum, other);
    /* Of the last vectors only the lanes below `count` say something. The words behind are the node's, too: there is
     * always another column. */
    for (; at < count; at += 4) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(ranks + at));
        __m256i valid = _mm256_cmpgt_epi64(_mm256_set1_epi64x((int64_t)(count - at)), lanes);

        sum = _mm256_add_epi64(sum, _mm256_and_si256(_mm256_cmpgt_epi64(key, a), valid));
    }
    half = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    return 0u - (uint32_t)(_mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1));
}
#else
bool kvault__csb_can_search_wide(void)
{
    return false;
}

static uint32_t count_wide(const union csb_word *ranks, uint32_t count, int64_t rank)
{
    return count_by_halving(ranks, count, rank);
}
#endif

uint32_t kvault__csb_count_below(const kvault_csbtree *tree, const union csb_word *ranks, uint32_t count, int64_t rank)
{
    return tree->searches_wide ? count_wide(ranks, count, rank) : count_by_halving(ranks, count, rank);
}
