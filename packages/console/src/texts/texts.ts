import en from './en.json' with { type: 'json' }

type Leaves<T, P extends string = ''> = { [K in keyof T & string]: T[K] extends string ? `${P}${K}` : Leaves<T[K], `${P}${K}.`> }[keyof T & string]
/** Every text by its path in `en.json`. */
export type TextKey = Leaves<typeof en>
type Counted<K> = K extends `${infer Stem}_other` ? Stem : never
/** Texts that come in a form for each plural of the language: `_one`, `_other`. */
export type CountKey = Counted<TextKey>
export type Values = Record<string, string | number>

const rules = new Intl.PluralRules('en')
const numbers = new Intl.NumberFormat('en')

/** The text of a path; `{name}` in it is replaced. What is missing is shown by its path, so that it is noticed. */
export function t(key: TextKey, values: Values = {}): string {
  return fill(find(key) ?? key, values)
}

/** The text for so many; `{count}` in it is the number. */
export function tn(key: CountKey, count: number, values: Values = {}): string {
  const text = find(`${key}_${rules.select(count)}`) ?? find(`${key}_other`) ?? key
  return fill(text, { ...values, count: numbers.format(count) })
}

export function formatNumber(value: number): string {
  return numbers.format(value)
}

/** Whether there is such a text, for words that the server chooses. */
export function isText(key: string): key is TextKey {
  return find(key) !== undefined
}

function find(key: string): string | undefined {
  let at: unknown = en
  for (const part of key.split('.')) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return undefined
    at = (at as Record<string, unknown>)[part]
  }
  return typeof at === 'string' ? at : undefined
}

function fill(text: string, values: Values): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => (Object.hasOwn(values, name) ? String(values[name]) : whole))
}
