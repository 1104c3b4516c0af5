/** Small, allocation-free questions about JSON values that came from outside. */

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }
export type JsonObject = Record<string, unknown>

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A non-empty string of at most `max` UTF-16 units without control characters: what an identifier may be. */
export function isIdentifier(value: unknown, max = 1024): value is string {
  if (typeof value !== 'string' || value.length === 0 || value.length > max) return false
  for (let i = 0; i < value.length; i++) {
    const unit = value.charCodeAt(i)
    if (unit < 0x20 || unit === 0x7f) return false
  }
  return true
}

/** A NumericDate (RFC 7519 section 2) that a clock can show; fractions are legal there. */
export function isNumericDate(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 && value <= Number.MAX_SAFE_INTEGER
}

/** Whether a value is JSON and stays what it is when it is sent: no `undefined`, no date, nothing deeper than `depth`. */
export function isJson(value: unknown, depth = 32): value is Json {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return true
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || depth === 0) return false
  if (Array.isArray(value)) return value.every((one) => isJson(one, depth - 1))
  const prototype: unknown = Object.getPrototypeOf(value)
  return (prototype === Object.prototype || prototype === null) && Object.values(value).every((one) => isJson(one, depth - 1))
}
