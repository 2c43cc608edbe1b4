// Buckets of equal width in JavaScript: the same mapping as bucketing-floor.
// An s64 is a BigInt, so the arithmetic is exact. Prices beyond 2^53 widths
// share the last bucket, as the contract asks.
const last = 2n ** 53n - 1n;
let width;

export const policy = {
  describe: () => ({
    id: "bucketing-js", version: "0.1.0", summary: "Buckets of equal width: floor(price / width).",
    settings: [{ name: "width", summary: "How wide a bucket is; above 0.", required: false,
                 default: { tag: "decimal", val: { units: 10n, scale: 0 } } }],
  }),
  configure([setting]) {
    width = setting.value.val;
    if (width.units <= 0n) throw [{ name: "width", message: "must be above 0" }];
  },
  bucketOf: (product, units, scales) => Array.from(units, (price, i) => {
    const bucket = (price * 10n ** BigInt(width.scale)) / (width.units * 10n ** BigInt(scales[i]));
    return bucket > last ? last : bucket;
  }),
};
