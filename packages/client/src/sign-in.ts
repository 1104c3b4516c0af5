import type { TokenQuestion } from './claims-challenge.ts'
import { createFlights } from './flight.ts'

interface Ways {
  silently(claims: string | undefined): Promise<string>
  /** Lets the person sign in after `error`; `undefined` when the page is being left for it. */
  interactively(claims: string | undefined, error: unknown): Promise<string | undefined>
  /** Whether it takes a sign-in to get any further. */
  isRequired(error: unknown): boolean
}

/**
 * The token of a person: silently where that is enough, else by a sign-in. Equal questions share one, and others wait for its end, as two windows would be in each
 * other's way. Whoever has waited asks silently once more: the person is signed in by then.
 */
export function createSignIn({ silently, interactively, isRequired }: Ways): (question: TokenQuestion) => Promise<string> {
  const share = createFlights<string>()
  let open: Promise<string | undefined> | undefined
  return ({ claims, signal }) =>
    share(claims ?? '', signal, async (stop) => {
      for (;;) {
        try {
          return await silently(claims)
        } catch (error) {
          if (!isRequired(error)) throw error
          // No window for a question that nobody waits for any more.
          stop.throwIfAborted()
          const mine = !open
          open ??= interactively(claims, error).finally(() => {
            open = undefined
          })
          const token = await (mine ? open : open.catch(() => ''))
          // The page is being left, and nobody else sends it anywhere.
          if (token === undefined) throw error
          if (mine) return token
        }
      }
    })
}
