import { isText, t } from '../texts/texts.ts'

/** Why a delivery failed: the transmitter's code, in words where there are some. */
export function reasonOf(code: string | undefined): string {
  if (code === undefined || code === '') return t('reasons.unknown')
  const plain = code.replace(/^gave up: /, '')
  const [kind = '', detail] = plain.split(' ')
  if (kind === 'http' && detail) return t('reasons.http', { status: detail })
  if (kind === 'network') return detail ? t('reasons.networkCode', { code: detail }) : t('reasons.network')
  const key = `reasons.${plain}`
  return isText(key) ? t(key) : plain
}

/** An event type without its URI, as an administrator would say it. */
export function eventName(type: string): string {
  const name = type.slice(type.search(/[^/:]+$/))
  const key = `eventNames.${name}`
  return isText(key) ? t(key) : name
}
