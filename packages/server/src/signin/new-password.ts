import { z } from 'zod'

const given = z.object({ next: z.string().min(8).max(256), again: z.string().max(256) })

/** What a form says of a new password, as far as it can be judged without the old one's hash. */
export function readNewPassword(form: URLSearchParams, username: string): { password: string } | { wrong: string } {
  const read = given.safeParse({ next: form.get('new') ?? '', again: form.get('again') ?? '' })
  if (!read.success) return { wrong: 'A password has 8 to 256 characters.' }
  const { next, again } = read.data
  if (next !== again) return { wrong: 'The new password and its repetition are not the same.' }
  if (next.toLowerCase() === username.toLowerCase()) return { wrong: 'Your user name cannot be your password.' }
  return { password: next }
}

export const SAME_PASSWORD = 'That is the password you have. Choose another one.'
