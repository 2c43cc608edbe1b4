// Buckets of equal width in JavaScript: the same mapping as bucketing-floor.
// An s64 arrives as a number, exact below 2^53; products of two need a BigInt.
const last = 2n ** 53n - 1n;
const times = (units, scale) => BigInt(units) * 10n ** BigInt(scale);
let width;

export const policy = {
  describe: () => ({
    id: "bucketing-js", version: "0.1.0", summary: "Buckets of equal width: floor(price / width).",
    settings: [{ name: "width", summary: "How wide a bucket is, in the currency's units; above 0.",
                 default: { tag: "decimal", val: { units: 10, scale: 0 } }, required: false }],
  }),
  configure([setting]) {
    width = setting.value.val;
    if (width.units <= 0) throw [{ name: "width", message: "must be above 0, for example 10" }];
  },
  bucketOf: (product, units, scales) => units.map((price, i) => {
    const bucket = times(price, width.scale) / times(width.units, scales[i]);
    return Number(bucket < last ? bucket : last);
  }),
};
