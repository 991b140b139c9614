// Lines of input into samples of one row: every phase sums its terms over all lines onto the bias, then phases are put in
// order.
#pragma once

#include <cstdint>
#include <cstring>

#include "interleave.h"
#include "lanes.h"
#include "stream.h"

namespace upstroke {
namespace {

// One pass over a row. A term is one tap of every phase and the line, moved by that tap, that it is multiplied with.
template <class T>
struct Pass {
    const Sum<T>* const* lines;   // of every term
    const Sum<T>* const* taps;    // of every term, (scale, tap_width)
    const Sum<T>* bias;           // that sums begin with: one, or tap_width of them where a cell has several numbers
    const std::int64_t* offsets;  // numbers that every phase moves all lines by
    std::int64_t terms;
    std::int64_t line_taps;  // terms of one line, which follow one another
    bool centred;            // whether the later half of the phases moves lines one cell further than the earlier half
    std::int64_t scale;
    std::int64_t width;      // numbers of a cell
    std::int64_t tap_width;  // 1, or at least `width`
    std::int64_t samples;
    T* to;
    T* phases;  // memory for the row phase by phase, each `phase_size` long
    std::int64_t phase_size;
};

// Half of 16 registers, or with their taps half of 32.
constexpr int most_sums = 8;

// The sums of some phases from `first` on, in `across` x `along` vectors: the first `step` numbers apart, the second
// neighbours. `terms` is their number where that is known, or 0.
template <class T, int terms, int phases, int across, int along, bool vector_taps>
struct Block {
    using S = Sum<T>;
    Vector<S> sums[phases][across][along];
    Vector<S> known_taps[terms ? terms : 1][phases][along];

    UPSTROKE_INLINE void read_tap(const Pass<T>& pass, std::int64_t term, std::int64_t first, std::int64_t tap_at,
                                  Vector<S> (&to)[phases][along]) {
        const S* const taps = pass.taps[term] + first * pass.tap_width + tap_at;
        for (int p = 0; p < phases; ++p) {
            for (int v = 0; v < along; ++v) {
                to[p][v] = vector_taps ? load_vector(taps + p * pass.tap_width + v * lanes<S>) : all(taps[p]);
            }
        }
    }
    // Once for as many sums as have the same taps.
    UPSTROKE_INLINE void read_taps(const Pass<T>& pass, std::int64_t first, std::int64_t tap_at) {
        for (int t = 0; t < terms; ++t) read_tap(pass, t, first, tap_at, known_taps[t]);
    }

    UPSTROKE_INLINE void begin(const Vector<S> (&bias)[along]) {
        for (int p = 0; p < phases; ++p) {
            for (int a = 0; a < across; ++a) {
                for (int v = 0; v < along; ++v) sums[p][a][v] = bias[v];
            }
        }
    }
    UPSTROKE_INLINE void add(const S* line, const std::int64_t* offsets, std::int64_t step,
                             const Vector<S> (&taps)[phases][along]) {
        for (int p = 0; p < phases; ++p) {
            for (int a = 0; a < across; ++a) {
                for (int v = 0; v < along; ++v) {
                    sums[p][a][v] += taps[p][v] * load_vector(line + offsets[p] + a * step + v * lanes<S>);
                }
            }
        }
    }
    UPSTROKE_INLINE void sum(const Pass<T>& pass, std::int64_t first, std::int64_t at, std::int64_t step, std::int64_t tap_at,
                             const Vector<S> (&bias)[along]) {
        begin(bias);
        if constexpr (terms > 0) {
            for (int t = 0; t < terms; ++t) add(pass.lines[t] + at, pass.offsets + first, step, known_taps[t]);
        } else {
            for (std::int64_t t = 0; t < pass.terms; ++t) {
                Vector<S> taps[phases][along];
                read_tap(pass, t, first, tap_at, taps);
                add(pass.lines[t] + at, pass.offsets + first, step, taps);
            }
        }
    }
};

// The sums of all phases for `blocks` vectors of neighbouring cells, where the second half of the phases moves lines one cell
// further than the first half, as every centred kernel of an even scale does: what both halves read is loaded once.
template <class T, int scale, int count, int line_taps, int blocks>
struct CentredBlock {
    using S = Sum<T>;
    Vector<S> taps[count][line_taps][scale];
    Vector<S> bias;
    Vector<S> sums[scale][blocks];

    UPSTROKE_INLINE explicit CentredBlock(const Pass<T>& pass) : bias(all(*pass.bias)) {
        for (int l = 0; l < count; ++l) {
            for (int k = 0; k < line_taps; ++k) {
                for (int p = 0; p < scale; ++p) taps[l][k][p] = all(pass.taps[l * line_taps + k][p]);
            }
        }
    }
    UPSTROKE_INLINE void sum(const Pass<T>& pass, std::int64_t cell) {
        for (int b = 0; b < blocks; ++b) {
            for (int p = 0; p < scale; ++p) sums[p][b] = bias;
            for (int l = 0; l < count; ++l) {
                const S* const line = pass.lines[l * line_taps] + pass.offsets[0] + cell + b * lanes<S>;
                for (int k = 0; k <= line_taps; ++k) {
                    const Vector<S> cells = load_vector(line + k);
                    for (int p = 0; p < scale; ++p) {
                        const int tap = p < scale / 2 ? k : k - 1;
                        if (tap < 0 || tap >= line_taps) continue;
                        sums[p][b] += taps[l][tap][p] * cells;
                    }
                }
            }
        }
    }
};

template <class T, int scale, int terms, int blocks>
struct PlanarBlock : Block<T, terms, scale, 1, blocks, false> {
    Vector<Sum<T>> bias[blocks];

    UPSTROKE_INLINE explicit PlanarBlock(const Pass<T>& pass) {
        this->read_taps(pass, 0, 0);
        for (int b = 0; b < blocks; ++b) bias[b] = all(*pass.bias);
    }
    UPSTROKE_INLINE void sum(const Pass<T>& pass, std::int64_t cell) {
        Block<T, terms, scale, 1, blocks, false>::sum(pass, 0, cell, 0, 0, bias);
    }
    UPSTROKE_INLINE Vector<Sum<T>> phase(int p, int b) const { return this->sums[p][0][b]; }
};

template <class T, int scale, int count, int line_taps, int blocks>
struct CentredPlanarBlock : CentredBlock<T, scale, count, line_taps, blocks> {
    using CentredBlock<T, scale, count, line_taps, blocks>::CentredBlock;
    UPSTROKE_INLINE Vector<Sum<T>> phase(int p, int b) const { return this->sums[p][b]; }
};

template <class T, int scale, int blocks, bool stream, class Cells>
UPSTROKE_INLINE void planar_cells(const Pass<T>& pass, std::int64_t& cell, std::int64_t last, T* to) {
    using S = Sum<T>;
    constexpr int n = lanes<S>;
    Cells block(pass);
    for (; cell + blocks * n <= last; cell += blocks * n) {
        block.sum(pass, cell);
        for (int b = 0; b < blocks; ++b) {
            Vector<S> phases[scale];
            for (int p = 0; p < scale; ++p) phases[p] = block.phase(p, b);
            interleave<scale, stream>(phases, to + b * scale * n);
        }
        to += blocks * scale * n;
    }
}

// Rows of a plane of one channel, for a scale that is known, by the block's sums.
template <class T, int scale, bool stream, template <int> class Cells>
UPSTROKE_INLINE void planar_row(const Pass<T>& shared_pass) {
    constexpr int n = lanes<Sum<T>>;
    constexpr int blocks = scale <= 2 ? 4 : scale <= 4 ? 2 : 1;
    const Pass<T> pass = shared_pass;
    const std::int64_t cells = pass.samples / scale;
    std::int64_t cell = 0;
    if (blocks > 1 && blocks * n <= cells) planar_cells<T, scale, blocks, stream, Cells<blocks>>(pass, cell, cells, pass.to);
    if (cell + n <= cells) planar_cells<T, scale, 1, stream, Cells<1>>(pass, cell, cells, pass.to + cell * scale);
    if (cell * scale < pass.samples) {
        T rest[scale * n];
        const std::int64_t left = pass.samples - cell * scale;
        T* const to = pass.to + cell * scale;
        planar_cells<T, scale, 1, false, Cells<1>>(pass, cell, cell + n, rest);
        std::memcpy(to, rest, static_cast<std::size_t>(left) * sizeof(T));
    }
}

template <class T, int scale, int terms, bool stream>
struct PlanarPass {
    template <int blocks> using Cells = PlanarBlock<T, scale, terms, blocks>;
    static void run(const Pass<T>& pass) { planar_row<T, scale, stream, Cells>(pass); }
};

template <class T, int scale, int count, int line_taps, bool stream>
struct CentredPlanarPass {
    template <int blocks> using Cells = CentredPlanarBlock<T, scale, count, line_taps, blocks>;
    static void run(const Pass<T>& pass) { planar_row<T, scale, stream, Cells>(pass); }
};

// The sums of one phase over a whole line, into memory, up to one vector further than `numbers`.
template <class T, int terms, bool vector_taps>
void phase_pass(const Pass<T>& pass, std::int64_t phase, std::int64_t numbers, T* to) {
    using S = Sum<T>;
    constexpr int n = lanes<S>;
    std::int64_t at = 0;
    if (!vector_taps) {
        const Vector<S> one = all(*pass.bias);
        const Vector<S> bias[4] = {one, one, one, one};
        Block<T, terms, 1, 1, 4, false> block;
        block.read_taps(pass, phase, 0);
        for (; at < numbers - 3 * n; at += 4 * n) {
            block.sum(pass, phase, at, 0, 0, bias);
            for (int b = 0; b < 4; ++b) store_vector(block.sums[0][0][b], to + at + b * n);
        }
    }
    std::int64_t tap_at = 0;
    for (; at < numbers; at += n) {
        const Vector<S> bias[1] = {vector_taps ? load_vector(pass.bias + tap_at) : all(*pass.bias)};
        Block<T, 0, 1, 1, 1, vector_taps> block;
        block.sum(pass, phase, at, 0, tap_at, bias);
        store_vector(block.sums[0][0][0], to + at);
        if (vector_taps) tap_at = (tap_at + n) % pass.width;
    }
}

template <class T, bool vector_taps>
void phase_pass(const Pass<T>& pass, std::int64_t phase, std::int64_t numbers, T* to) {
    if (vector_taps) return phase_pass<T, 0, vector_taps>(pass, phase, numbers, to);
    switch (pass.terms) {
        case 2: return phase_pass<T, 2, false>(pass, phase, numbers, to);
        case 3: return phase_pass<T, 3, false>(pass, phase, numbers, to);
        case 4: return phase_pass<T, 4, false>(pass, phase, numbers, to);
        default: return phase_pass<T, 0, false>(pass, phase, numbers, to);
    }
}

// Rows of a plane of one channel, for any scale.
template <class T>
void planar_pass_any(const Pass<T>& shared_pass) {
    const Pass<T> pass = shared_pass;
    for (std::int64_t p = 0; p < pass.scale; ++p) {
        const std::int64_t cells = (pass.samples - p + pass.scale - 1) / pass.scale;
        phase_pass<T, false>(pass, p, cells, pass.phases);
        T* to = pass.to + p;
        for (std::int64_t m = 0; m < cells; ++m) {
            *to = pass.phases[m];
            if (m + 1 < cells) to += pass.scale;
        }
    }
}

// Copies the channels of one sample after the other, a fixed number of bytes at a time: what is written too much the next
// sample overwrites, so the last ones are copied exactly. `known_scale` is the scale where that is known, or 0.
template <class T, int bytes, int known_scale>
void weave(const Pass<T>& pass) {
    constexpr std::int64_t chunk = bytes / static_cast<std::int64_t>(sizeof(T));
    const T* const phases = pass.phases;
    const std::int64_t width = pass.width, phase_size = pass.phase_size, samples = pass.samples;
    const std::int64_t scale = known_scale ? known_scale : pass.scale;
    // Cells of which every sample may be written with the chunk's full length.
    const std::int64_t room = samples * width - chunk;
    const std::int64_t cells = room < 0 ? 0 : (room / width + 1) / scale;
    T* const to = pass.to;
    const T* from = phases;
    T* sample = to;
    for (std::int64_t m = 0; m < cells; ++m) {
        for (std::int64_t p = 0; p < scale; ++p) std::memcpy(sample + p * width, from + p * phase_size, bytes);
        from += width;
        if (m + 1 < cells) sample += scale * width;
    }
    for (std::int64_t n = cells * scale; n < samples; ++n) {
        const T* const channels = phases + n % scale * phase_size + n / scale * width;
        for (std::int64_t c = 0; c < width; ++c) to[n * width + c] = channels[c];
    }
}

template <class T, int bytes>
void weave(const Pass<T>& pass) {
    switch (pass.scale) {
        case 2: return weave<T, bytes, 2>(pass);
        case 3: return weave<T, bytes, 3>(pass);
        case 4: return weave<T, bytes, 4>(pass);
        default: return weave<T, bytes, 0>(pass);
    }
}

// Rows of a plane of a few channels, fewer than a vector holds: vectors run over cells and channels.
template <class T, bool vector_taps>
void narrow_pass(const Pass<T>& shared_pass) {
    const Pass<T> pass = shared_pass;
    for (std::int64_t p = 0; p < pass.scale; ++p) {
        const std::int64_t cells = (pass.samples - p + pass.scale - 1) / pass.scale;
        phase_pass<T, vector_taps>(pass, p, cells * pass.width, pass.phases + p * pass.phase_size);
    }
    const std::int64_t bytes = pass.width * static_cast<std::int64_t>(sizeof(T));
    if (bytes <= 8) {
        weave<T, 8>(pass);
    } else if (bytes <= 16) {
        weave<T, 16>(pass);
    } else if (bytes <= 32) {
        weave<T, 32>(pass);
    } else {
        weave<T, 64>(pass);
    }
}

// `across` cells, `along` vectors of neighbouring channels, some phases.
template <class T, int terms, int phases, int across, int along, bool vector_taps, bool stream>
UPSTROKE_INLINE void wide_cells(const Pass<T>& pass, std::int64_t first, std::int64_t cell) {
    using S = Sum<T>;
    constexpr int n = along * lanes<S>;
    const std::int64_t width = pass.width;
    Block<T, terms, phases, across, along, vector_taps> block;
    if (!vector_taps) block.read_taps(pass, first, 0);
    T* const to = pass.to + (cell * pass.scale + first) * width;
    const std::int64_t next_cell = pass.scale * width;
    for (std::int64_t c = 0;; c += n) {
        // The last vectors end with the last channel: what they have in common with those before is made twice.
        if (c > width - n) c = width - n;
        if (vector_taps) block.read_taps(pass, first, c);
        Vector<S> bias[along];
        for (int v = 0; v < along; ++v) bias[v] = load_vector(pass.bias + c + v * lanes<S>);
        block.sum(pass, first, cell * width + c, width, vector_taps ? c : 0, bias);
        for (int a = 0; a < across; ++a) {
            for (int p = 0; p < phases; ++p) {
                T* const sample = to + a * next_cell + p * width + c;
                for (int v = 0; v < along; ++v) put_vector<stream>(block.sums[p][a][v], sample + v * lanes<S>);
            }
        }
        if (c == width - n) break;
    }
}

// Rows of a plane of many channels, at least as many as `along` vectors hold: vectors run over channels.
template <class T, int terms, int along, bool vector_taps, bool stream>
void wide_pass(const Pass<T>& shared_pass) {
    constexpr int across = most_sums / 2 / along > 4 ? 4 : most_sums / 2 / along < 1 ? 1 : most_sums / 2 / along;
    const Pass<T> pass = shared_pass;
    const std::int64_t cells = pass.samples / pass.scale;
    std::int64_t cell = 0;
    for (; cell + across <= cells; cell += across) {
        std::int64_t p = 0;
        for (; p + 2 <= pass.scale; p += 2) wide_cells<T, terms, 2, across, along, vector_taps, stream>(pass, p, cell);
        if (p < pass.scale) wide_cells<T, terms, 1, across, along, vector_taps, stream>(pass, p, cell);
    }
    for (std::int64_t n = cell * pass.scale; n < pass.samples; ++n) {
        wide_cells<T, 0, 1, 1, along, vector_taps, stream>(pass, n % pass.scale, n / pass.scale);
    }
}

template <class T> using PassFunction = void (*)(const Pass<T>&);

// Vectors of one cache line of output, so that lines are written as a whole.
template <class T> constexpr int line_vectors = 64 / (lanes<Sum<T>> * static_cast<int>(sizeof(T))) > 4
                                                    ? 4
                                                    : 64 / (lanes<Sum<T>> * static_cast<int>(sizeof(T)));

template <class T, bool vector_taps, bool stream>
PassFunction<T> wide_pass_for(std::int64_t terms, std::int64_t width) {
    if (line_vectors<T> > 1 && width < line_vectors<T> * lanes<Sum<T>>) return wide_pass<T, 0, 1, vector_taps, stream>;
    switch (terms) {
        case 2: return wide_pass<T, 2, line_vectors<T>, vector_taps, stream>;
        case 3: return wide_pass<T, 3, line_vectors<T>, vector_taps, stream>;
        case 4: return wide_pass<T, 4, line_vectors<T>, vector_taps, stream>;
        case 8: return wide_pass<T, 8, line_vectors<T>, vector_taps, stream>;
        default: return wide_pass<T, 0, line_vectors<T>, vector_taps, stream>;
    }
}

template <class T, int scale, bool stream>
PassFunction<T> planar_pass_for(const Pass<T>& pass) {
    if constexpr (scale % 2 == 0) {
        if (pass.centred && pass.terms == pass.line_taps) {
            switch (pass.terms) {
                case 2: return CentredPlanarPass<T, scale, 1, 2, stream>::run;
                case 3: return CentredPlanarPass<T, scale, 1, 3, stream>::run;
                case 4: return CentredPlanarPass<T, scale, 1, 4, stream>::run;
            }
        }
        if (pass.centred && pass.terms == 4 && pass.line_taps == 2) return CentredPlanarPass<T, scale, 2, 2, stream>::run;
        if constexpr (scale == 2) {
            if (pass.centred && pass.terms == 8 && pass.line_taps == 2) return CentredPlanarPass<T, scale, 4, 2, stream>::run;
        }
    } else {
        switch (pass.terms) {
            case 2: return PlanarPass<T, scale, 2, stream>::run;
            case 3: return PlanarPass<T, scale, 3, stream>::run;
            case 4: return PlanarPass<T, scale, 4, stream>::run;
        }
    }
    return PlanarPass<T, scale, 0, stream>::run;
}

template <class T, bool stream>
PassFunction<T> any_planar_pass_for(const Pass<T>& pass) {
    switch (pass.scale) {
        case 1: return planar_pass_for<T, 1, stream>(pass);
        case 2: return planar_pass_for<T, 2, stream>(pass);
        case 3: return planar_pass_for<T, 3, stream>(pass);
        case 4: return planar_pass_for<T, 4, stream>(pass);
        case 8: return planar_pass_for<T, 8, stream>(pass);
        default: return planar_pass_any<T>;
    }
}

template <class T, bool stream>
PassFunction<T> pass_for(const Pass<T>& pass, bool vector_taps) {
    if (pass.width == 1) return any_planar_pass_for<T, stream>(pass);
    if (pass.width < lanes<Sum<T>>) return vector_taps ? narrow_pass<T, true> : narrow_pass<T, false>;
    if (vector_taps) return wide_pass_for<T, true, stream>(pass.terms, pass.width);
    return wide_pass_for<T, false, stream>(pass.terms, pass.width);
}

template <class T>
PassFunction<T> pass_for(const Pass<T>& pass, bool vector_taps, bool stream) {
    return stream ? pass_for<T, true>(pass, vector_taps) : pass_for<T, false>(pass, vector_taps);
}

// to[i] = sum over lines of factor * line[i], whole vectors, so up to one vector further than `numbers`.
template <class S>
void sum_lines(const S* const* lines, const S* factors, std::int64_t count, std::int64_t numbers, S* to) {
    constexpr int n = lanes<S>;
    std::int64_t i = 0;
    for (; i + 4 * n <= numbers; i += 4 * n) {
        Vector<S> sums[4] = {};
        for (std::int64_t l = 0; l < count; ++l) {
            const Vector<S> factor = all(factors[l]);
            for (int b = 0; b < 4; ++b) sums[b] += factor * load_vector(lines[l] + i + b * n);
        }
        for (int b = 0; b < 4; ++b) store_vector(sums[b], to + i + b * n);
    }
    for (; i < numbers; i += n) {
        Vector<S> sum = {};
        for (std::int64_t l = 0; l < count; ++l) sum += all(factors[l]) * load_vector(lines[l] + i);
        store_vector(sum, to + i);
    }
}

}  // namespace
}  // namespace upstroke
