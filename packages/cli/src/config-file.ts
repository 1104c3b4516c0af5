import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { CaegisError } from '@caegis/protocol'

/** `NAME=`, and how the value begins. */
const SETTING = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(["'`]?)(.*)$/

/**
 * Reads a file of settings, `NAME=value` a line. What would be passed over is refused, with its line: a setting that is misspelt is one that does not hold.
 * @param names of all settings
 * @throws CaegisError `invalid_settings`, which never shows a value: whoever forgot a name may have written a secret
 */
export function readConfigFile(file: string, names: readonly string[]): Record<string, string | undefined> {
  const text = readFileSync(file, 'utf8')
  const lines = text.split(/\r\n|\n|\r/)
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] as string
    if (/^\s*(#|$)/.test(line)) continue
    const fail = (what: string) => new CaegisError('invalid_settings', `${file} line ${at + 1}: ${what}.`)
    const [, name, quote, rest = ''] = line.match(SETTING) ?? []
    if (name === undefined) {
      const word = line.trim().split(/\s/)[0] as string
      throw fail(names.includes(word) ? `${word} needs a "=" before its value` : 'it is neither NAME=value nor a comment (#)')
    }
    if (!names.includes(name)) throw fail(`${name} is no setting; "caegis serve --help" names them all`)
    // A value in quotes may go on over lines.
    if (!quote || rest.includes(quote)) continue
    const end = lines.findIndex((one, i) => i > at && one.includes(quote))
    if (end < 0) throw fail(`the ${quote} of ${name} has no end`)
    at = end
  }
  return parseEnv(text)
}
