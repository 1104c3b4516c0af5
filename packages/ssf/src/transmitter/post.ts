import { type DeliveryOutcome, outcomeOf, outcomeOfFailure } from './outcome.ts'
import type { PushSettings } from './push-options.ts'
import type { Delivery } from './store.ts'

const MAX_BODY = 65_536
/** Why an exchange ends; without a reason, an exception with a stack would be made each time. */
const OVER = 'over'

/** Sends one SET (RFC 8935 section 2.1). Whatever happens is an outcome; one that was called off is none. */
export async function post(settings: PushSettings, delivery: Delivery, jwt: string, stop: AbortSignal): Promise<DeliveryOutcome | undefined> {
  const { send, sleep, now, pushLimits } = settings
  const ending = new AbortController()
  const end = () => ending.abort(OVER)
  stop.addEventListener('abort', end, { once: true })
  if (stop.aborted) end()
  const headers = {
    'content-type': 'application/secevent+jwt',
    accept: 'application/json',
    ...(delivery.authorizationHeader !== undefined && { authorization: delivery.authorizationHeader }),
  }
  const request = { url: delivery.endpointUrl as string, headers, body: jwt, maxBody: MAX_BODY, signal: ending.signal }
  try {
    // A `send` that does not heed its signal ends here all the same.
    return await Promise.race([
      answer(),
      sleep(pushLimits.timeout * 1000, ending.signal).then((): DeliveryOutcome | undefined =>
        stop.aborted ? undefined : { is: 'retry', reason: 'timeout' },
      ),
    ])
  } finally {
    stop.removeEventListener('abort', end)
    end()
  }

  async function answer(): Promise<DeliveryOutcome | undefined> {
    try {
      return outcomeOf(await send(request), now())
    } catch (error) {
      return stop.aborted ? undefined : outcomeOfFailure(error)
    }
  }
}
