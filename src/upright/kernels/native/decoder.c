/* The decoder's layers for a few rows of float32 on a CPU, as one parallel region.
 *
 * With few rows a step only streams the weights through the cores, so what counts is that every weight is read once, in
 * order, and that nothing but barriers stands between two matrix products. models/decoder.py computes the same
 * with torch operations and is the reference. All matrices are row-major; a projection is [out, in].
 */
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#else
#define LANES 8
#endif
typedef float vec __attribute__((vector_size(LANES * 4), aligned(4)));
typedef int32_t ivec __attribute__((vector_size(LANES * 4), aligned(4)));

#define ROWS_AT_ONCE 24 /* weight rows that stay in the core's cache while all groups of x pass over them */
#define SPLIT 256       /* context tokens of one piece of attention */
#define MAX_GROUP 16    /* most query heads that share one key head */

typedef struct {
    const float *input_norm, *qkv, *qkv_bias, *output, *output_bias;
    const float *mlp_norm, *gate_up, *gate_up_bias, *down, *down_bias;
    float *cache; /* [blocks, block_size, 2, kv_heads, head_size] */
} Layer;

typedef struct {
    int64_t layers, hidden, intermediate, heads, kv_heads, head_size, block_size;
    float epsilon;
    const Layer *layer;
    const float *final_norm;
} Decoder;

typedef struct {
    int64_t rows, threads, table_width, most_pieces;
    const float *cosine, *sine;    /* [rows, head_size]; sine is negative in its first half */
    const int64_t *slots;          /* [rows] where each row's key and value go */
    const int32_t *tables;         /* [rows, table_width] the block table of each row's sequence */
    const int32_t *contexts;       /* [rows] tokens that each row attends to, itself included */
    float *hidden;                 /* [rows, hidden] in: embeddings; out: normalised final states */
    float *qkv;                    /* [rows, (heads + 2 kv_heads) * head_size] */
    float *attended;               /* [rows, heads * head_size] */
    float *activated;              /* [rows, intermediate] */
    float *normed;                 /* [threads, rows, hidden] */
    float *pieces;                 /* [rows, most_pieces, heads, head_size + 2]: sum, maximum, weighted values */
} Step;

static inline vec load(const float *p) { return *(const vec *)p; }
static inline vec splat(float x) { return x - (vec){0}; }
static inline vec choose(ivec mask, vec yes, vec no) { return (vec)((mask & (ivec)yes) | (~mask & (ivec)no)); }

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLES
#endif
#endif

typedef float vec4 __attribute__((vector_size(16), aligned(4)));
typedef float vec8 __attribute__((vector_size(32), aligned(4)));

static inline vec8 eight(vec v) {
#if LANES == 16
    vec8 halves[2];
    memcpy(halves, &v, sizeof halves);
    return halves[0] + halves[1];
#else
    return v;
#endif
}

/* The sums of four vectors' lanes, as the lanes of one: a tile ends with many of these. */
static inline vec4 totals(vec a, vec b, vec c, vec d) {
    vec8 p = eight(a), q = eight(b), r = eight(c), s = eight(d);
#ifdef SHUFFLES
    vec8 pq = __builtin_shufflevector(p, q, 0, 8, 1, 9, 4, 12, 5, 13) + __builtin_shufflevector(p, q, 2, 10, 3, 11, 6, 14, 7, 15);
    vec8 rs = __builtin_shufflevector(r, s, 0, 8, 1, 9, 4, 12, 5, 13) + __builtin_shufflevector(r, s, 2, 10, 3, 11, 6, 14, 7, 15);
    vec8 low = __builtin_shufflevector(pq, rs, 0, 1, 8, 9, 4, 5, 12, 13);
    vec8 high = __builtin_shufflevector(pq, rs, 2, 3, 10, 11, 6, 7, 14, 15);
    vec4 halves[2];
    low += high;
    memcpy(halves, &low, sizeof halves);
    return halves[0] + halves[1];
#else
    vec4 sums = {0};
    for (int i = 0; i < 8; i++) sums += (vec4){p[i], q[i], r[i], s[i]};
    return sums;
#endif
}

static inline float total(vec v) { return totals(v, v, v, v)[0]; }

/* e^x to about 2e-7 relative: 2^n times a polynomial in the rest (coefficients of the series, at most ln 2 / 2). */
static inline vec exponential(vec x) {
    const vec low = splat(-87.0f), high = splat(88.0f);
    x = choose(x < low, low, x);
    x = choose(x > high, high, x);
    vec scaled = x * 1.44269504f;
    ivec whole = __builtin_convertvector(scaled + choose(scaled < 0.0f, splat(-0.5f), splat(0.5f)), ivec);
    vec n = __builtin_convertvector(whole, vec);
    vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts, so that n * ln 2 is exact enough */
    vec p = splat(1.0f / 5040);
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    ivec bits = (whole + 127) << 23;
    return p * (vec)bits;
}

/* ---- matrix products ------------------------------------------------------------------------------------------- */

/* y[m][n] (+)= x[m] . w[n] + bias[n] for M rows of x and N of w, all held in registers. */
#define TILE(M, N)                                                                                                     \
    static inline void tile_##M##_##N(const float *x, const float *w, const float *bias, float *y, int64_t k_size,     \
                                      int64_t stride, int add, int64_t ahead) {                                        \
        vec sum[M][N];                                                                                                 \
        for (int m = 0; m < M; m++)                                                                                    \
            for (int n = 0; n < N; n++) sum[m][n] = (vec){0};                                                          \
        int64_t k = 0;                                                                                                 \
        for (; k + LANES <= k_size; k += LANES) {                                                                      \
            vec row[N];                                                                                                \
            for (int n = 0; n < N; n++) {                                                                              \
                row[n] = load(w + n * k_size + k);                                                                     \
                if (ahead) __builtin_prefetch(w + ahead + n * k_size + k, 0, 2);                                       \
            }                                                                                                          \
            for (int m = 0; m < M; m++) {                                                                              \
                vec value = load(x + m * k_size + k);                                                                  \
                for (int n = 0; n < N; n++) sum[m][n] += value * row[n];                                               \
            }                                                                                                          \
        }                                                                                                              \
        for (int m = 0; m < M; m++) {                                                                                  \
            vec4 sums = totals(sum[m][0], sum[m][N > 1 ? 1 : 0], sum[m][N > 2 ? 2 : 0], sum[m][N > 3 ? 3 : 0]);        \
            for (int n = 0; n < N; n++) {                                                                              \
                float result = sums[n] + (bias ? bias[n] : 0.0f);                                                      \
                for (int64_t j = k; j < k_size; j++) result += x[m * k_size + j] * w[n * k_size + j];                  \
                y[m * stride + n] = add ? y[m * stride + n] + result : result;                                         \
            }                                                                                                          \
        }                                                                                                              \
    }
TILE(1, 1) TILE(1, 4) TILE(2, 1) TILE(2, 4) TILE(3, 1) TILE(3, 4) TILE(4, 1) TILE(4, 3)

/* `more` rows of x follow this group; the last group over a block of weights fetches the next block ahead. */
#define SWEEP(M, N, more)                                                                                              \
    do {                                                                                                               \
        int64_t n = first, ahead = (more) ? 0 : ROWS_AT_ONCE * k_size;                                                 \
        for (; n + N <= last; n += N)                                                                                  \
            tile_##M##_##N(x + m * k_size, w + n * k_size, bias ? bias + n : 0, y + m * stride + n, k_size, stride,    \
                           add, ahead);                                                                                \
        for (; n < last; n++)                                                                                          \
            tile_##M##_1(x + m * k_size, w + n * k_size, bias ? bias + n : 0, y + m * stride + n, k_size, stride, add, \
                         0);                                                                                           \
    } while (0)

/* Columns [begin, end) of y [rows, stride] (+)= x [rows, k_size] times w [.., k_size] transposed, plus bias. */
static void multiply(const float *x, const float *w, const float *bias, float *y, int64_t rows, int64_t k_size,
                     int64_t stride, int64_t begin, int64_t end, int add) {
    for (int64_t first = begin; first < end; first += ROWS_AT_ONCE) {
        int64_t last = first + ROWS_AT_ONCE < end ? first + ROWS_AT_ONCE : end, m = 0;
        for (; m + 4 <= rows; m += 4) SWEEP(4, 3, rows - m > 4);
        if (rows - m == 3) SWEEP(3, 4, 0);
        if (rows - m == 2) SWEEP(2, 4, 0);
        if (rows - m == 1) SWEEP(1, 4, 0);
    }
}

/* This thread's share of `size` columns, in whole tiles. */
static void share(int64_t size, int thread, int threads, int64_t *begin, int64_t *end) {
    int64_t tiles = (size + 11) / 12;
    *begin = tiles * thread / threads * 12;
    *end = tiles * (thread + 1) / threads * 12;
    if (*end > size) *end = size;
    if (*begin > size) *begin = size;
}

/* y [rows, columns] = x [rows, k_size] times w [columns, k_size] transposed, plus bias (or none). */
void upright_linear(const float *x, const float *w, const float *bias, float *y, int64_t rows, int64_t columns,
                    int64_t k_size) {
#pragma omp parallel
    {
        int64_t begin, end;
        share(columns, omp_get_thread_num(), omp_get_num_threads(), &begin, &end);
        multiply(x, w, bias, y, rows, k_size, columns, begin, end, 0);
    }
}

/* ---- what stands between them ---------------------------------------------------------------------------------- */

static void rms_norm(const float *x, const float *weight, float *y, int64_t rows, int64_t size, float epsilon) {
    for (int64_t m = 0; m < rows; m++, x += size, y += size) {
        float squares = 0;
        int64_t i = 0;
        vec sum = {0};
        for (; i + LANES <= size; i += LANES) sum += load(x + i) * load(x + i);
        for (squares = total(sum); i < size; i++) squares += x[i] * x[i];
        float scale = 1.0f / sqrtf(squares / (float)size + epsilon);
        for (i = 0; i < size; i++) y[i] = x[i] * scale * weight[i];
    }
}

static void rotate(float *head, const float *cosine, const float *sine, int64_t size) {
    int64_t half = size / 2;
    for (int64_t i = 0; i < half; i++) {
        float first = head[i], second = head[i + half];
        head[i] = first * cosine[i] + second * sine[i];
        head[i + half] = second * cosine[i + half] + first * sine[i + half];
    }
}

/* Rotate one row's queries and keys, and write its keys and values into the cache. */
static void place(const Decoder *d, const Step *s, float *cache, int64_t row) {
    int64_t size = d->head_size, turned = d->heads + d->kv_heads;
    float *qkv = s->qkv + row * (d->heads + 2 * d->kv_heads) * size;
    for (int64_t h = 0; h < turned; h++) rotate(qkv + h * size, s->cosine + row * size, s->sine + row * size, size);
    memcpy(cache + s->slots[row] * 2 * d->kv_heads * size, qkv + d->heads * size,
           (size_t)(2 * d->kv_heads * size) * sizeof(float));
}

static inline float dot(const float *a, const float *b, int64_t size) {
    vec sum = {0};
    int64_t i = 0;
    for (; i + LANES <= size; i += LANES) sum += load(a + i) * load(b + i);
    float result = total(sum);
    for (; i < size; i++) result += a[i] * b[i];
    return result;
}

static inline void add_scaled(float *y, const float *x, float scale, int64_t size) {
    int64_t i = 0;
    for (; i + LANES <= size; i += LANES) *(vec *)(y + i) += load(x + i) * scale;
    for (; i < size; i++) y[i] += x[i] * scale;
}

/* One row's queries of one key head over context [from, to): softmax numerator, its sum and its maximum. */
static void attend(const Decoder *d, const Step *s, const float *cache, int64_t row, int64_t kv_head, int64_t piece) {
    int64_t size = d->head_size, group = d->heads / d->kv_heads, token = 2 * d->kv_heads * size;
    int64_t from = piece * SPLIT, to = from + SPLIT < s->contexts[row] ? from + SPLIT : s->contexts[row];
    const float *query = s->qkv + row * (d->heads + 2 * d->kv_heads) * size + kv_head * group * size;
    const int32_t *table = s->tables + row * s->table_width;
    float score[MAX_GROUP][SPLIT + LANES], scale = 1.0f / sqrtf((float)size);
    for (int64_t at = from; at < to; at++) {
        const float *key =
            cache + ((int64_t)table[at / d->block_size] * d->block_size + at % d->block_size) * token + kv_head * size;
        for (int64_t g = 0; g < group; g++) score[g][at - from] = dot(query + g * size, key, size) * scale;
    }
    float *out = s->pieces + ((row * s->most_pieces + piece) * d->heads + kv_head * group) * (size + 2);
    for (int64_t g = 0; g < group; g++) {
        float most = score[g][0], sum = 0;
        for (int64_t i = 1; i < to - from; i++) most = score[g][i] > most ? score[g][i] : most;
        for (int64_t i = 0; i < to - from; i += LANES) {
            vec e = exponential(load(&score[g][i]) - most);
            memcpy(&score[g][i], &e, sizeof e);
        }
        for (int64_t i = 0; i < to - from; i++) sum += score[g][i];
        float *piece_out = out + g * (size + 2);
        piece_out[0] = sum;
        piece_out[1] = most;
        memset(piece_out + 2, 0, (size_t)size * sizeof(float));
    }
    for (int64_t at = from; at < to; at++) {
        const float *value = cache + ((int64_t)table[at / d->block_size] * d->block_size + at % d->block_size) * token +
                             (d->kv_heads + kv_head) * size;
        for (int64_t g = 0; g < group; g++) add_scaled(out + g * (size + 2) + 2, value, score[g][at - from], size);
    }
}

/* The pieces of one row and head, joined into its attention. */
static void join(const Decoder *d, const Step *s, int64_t row, int64_t head) {
    int64_t size = d->head_size, count = (s->contexts[row] + SPLIT - 1) / SPLIT, step = d->heads * (size + 2);
    const float *piece = s->pieces + (row * s->most_pieces * d->heads + head) * (size + 2);
    float *out = s->attended + (row * d->heads + head) * size, most = piece[1], sum = 0;
    for (int64_t p = 1; p < count; p++) most = piece[p * step + 1] > most ? piece[p * step + 1] : most;
    memset(out, 0, (size_t)size * sizeof(float));
    for (int64_t p = 0; p < count; p++) {
        float weight = expf(piece[p * step + 1] - most);
        sum += piece[p * step] * weight;
        add_scaled(out, piece + p * step + 2, weight, size);
    }
    for (int64_t i = 0; i < size; i++) out[i] /= sum;
}

/* activated[:, begin:end) = silu(gate) * up, a tile of gate rows beside the same tile of up rows. */
static void gate(const Decoder *d, const Layer *l, const Step *s, const float *normed, int64_t begin, int64_t end) {
    enum { WIDTH = ROWS_AT_ONCE };
    float up[16 * WIDTH + LANES], gated[16 * WIDTH + LANES];
    const float *up_bias = l->gate_up_bias ? l->gate_up_bias + d->intermediate : 0;
    for (int64_t first = begin; first < end; first += WIDTH) {
        int64_t width = first + WIDTH < end ? WIDTH : end - first;
        for (int64_t m = 0; m < s->rows; m += 16) {
            int64_t rows = m + 16 < s->rows ? 16 : s->rows - m;
            const float *x = normed + m * d->hidden;
            multiply(x, l->gate_up + first * d->hidden, l->gate_up_bias ? l->gate_up_bias + first : 0, gated, rows,
                     d->hidden, WIDTH, 0, width, 0);
            multiply(x, l->gate_up + (d->intermediate + first) * d->hidden, up_bias ? up_bias + first : 0, up, rows,
                     d->hidden, WIDTH, 0, width, 0);
            for (int64_t r = 0; r < rows; r++) {
                float *out = s->activated + (m + r) * d->intermediate + first;
                for (int64_t i = 0; i < width; i += LANES) {
                    vec g = load(gated + r * WIDTH + i), u = load(up + r * WIDTH + i);
                    vec y = g / (1.0f + exponential(-g)) * u;
                    size_t count = (size_t)(width - i < LANES ? width - i : LANES);
                    memcpy(out + i, &y, count * sizeof(float));
                }
            }
        }
    }
}

void upright_decoder(const Decoder *d, const Step *s) {
    const int64_t attended = d->heads * d->head_size, qkv = (d->heads + 2 * d->kv_heads) * d->head_size;
#pragma omp parallel num_threads((int)s->threads)
    {
        const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
        float *normed = s->normed + thread * s->rows * d->hidden;
        int64_t begin, end;
        for (int64_t index = 0; index < d->layers; index++) {
            const Layer *l = d->layer + index;
            rms_norm(s->hidden, l->input_norm, normed, s->rows, d->hidden, d->epsilon);
            share(qkv, thread, threads, &begin, &end);
            multiply(normed, l->qkv, l->qkv_bias, s->qkv, s->rows, d->hidden, qkv, begin, end, 0);
#pragma omp barrier
#pragma omp for
            for (int64_t row = 0; row < s->rows; row++) place(d, s, l->cache, row);
            /* pieces past a row's context are empty; handing them out one by one evens the threads' work */
#pragma omp for collapse(3) schedule(dynamic, 1)
            for (int64_t row = 0; row < s->rows; row++)
                for (int64_t piece = 0; piece < s->most_pieces; piece++)
                    for (int64_t head = 0; head < d->kv_heads; head++)
                        if (piece * SPLIT < s->contexts[row]) attend(d, s, l->cache, row, head, piece);
#pragma omp for collapse(2)
            for (int64_t row = 0; row < s->rows; row++)
                for (int64_t head = 0; head < d->heads; head++) join(d, s, row, head);
            share(d->hidden, thread, threads, &begin, &end);
            multiply(s->attended, l->output, l->output_bias, s->hidden, s->rows, attended, d->hidden, begin, end, 1);
#pragma omp barrier
            rms_norm(s->hidden, l->mlp_norm, normed, s->rows, d->hidden, d->epsilon);
            share(d->intermediate, thread, threads, &begin, &end);
            gate(d, l, s, normed, begin, end);
#pragma omp barrier
            share(d->hidden, thread, threads, &begin, &end);
            multiply(s->activated, l->down, l->down_bias, s->hidden, s->rows, d->intermediate, d->hidden, begin, end, 1);
#pragma omp barrier
        }
#pragma omp for
        for (int64_t row = 0; row < s->rows; row++)
            rms_norm(s->hidden + row * d->hidden, d->final_norm, s->hidden + row * d->hidden, 1, d->hidden, d->epsilon);
    }
}

/* The caller sizes `pieces` by it. */
int64_t upright_split(void) { return SPLIT; }
