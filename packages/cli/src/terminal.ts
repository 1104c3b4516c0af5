import { styleText } from 'node:util'

export type Colour = 'red' | 'green' | 'yellow' | 'bold' | 'dim'

/** What is known of where something is written to. */
export interface Terminal {
  /** Characters in a line; unbounded when absent. */
  width?: number
  colours: boolean
}

/**
 * Colours are for a terminal, and never where NO_COLOR says so (no-color.org: not empty); FORCE_COLOR asks for them elsewhere too.
 * @param env of the process
 */
export function terminalOf(stream: { isTTY?: boolean; columns?: number }, env: NodeJS.ProcessEnv): Terminal {
  const { NO_COLOR = '', FORCE_COLOR = '', TERM } = env
  const isForced = FORCE_COLOR !== '' && FORCE_COLOR !== '0' && FORCE_COLOR !== 'false'
  const colours = NO_COLOR === '' && (isForced || (stream.isTTY === true && FORCE_COLOR === '' && TERM !== 'dumb'))
  return { colours, ...(stream.isTTY && stream.columns ? { width: stream.columns } : {}) }
}

export function paint(text: string, colour: Colour, { colours }: Terminal): string {
  return colours ? styleText(colour, text, { validateStream: false }) : text
}

/** What others have written is shown without what could steer a terminal. */
export function plain(text: string): string {
  return text.replace(/\p{C}/gu, '?')
}

/** How many places a text takes: what stands above another character takes none, and much of East Asia takes two. */
export function widthOf(text: string): number {
  let width = 0
  for (const one of text)
    width += /\p{M}/u.test(one)
      ? 0
      : /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\uff01-\uff60]/u.test(one)
        ? 2
        : 1
  return width
}

/** The beginning of a text, where there is no room for all of it. */
export function shorten(text: string, width: number): string {
  if (widthOf(text) <= width) return text
  let kept = ''
  for (const one of text) {
    if (widthOf(kept) + widthOf(one) > width - 1) break
    kept += one
  }
  return `${kept}…`
}
