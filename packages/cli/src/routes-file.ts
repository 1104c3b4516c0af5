import { parseRoute, type RouteMap } from '@caegis/guard/gateway'
import { CaegisError } from '@caegis/protocol'
import { z } from 'zod'
import { CLI_ERRORS } from './errors.ts'
import { readYamlFile } from './yaml-file.ts'

const word = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/, 'one word of visible characters, without quotes')
const words = z.array(word).min(1).max(64)
const requirement = z.union([
  z.strictObject({ public: z.literal(true) }),
  z.strictObject({
    scope: z.union([z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/), words]).optional(),
    roles: words.optional(),
    acrs: words.optional(),
    maxAge: z.int().positive().optional(),
  }),
])
const route = z.string().superRefine((key, context) => {
  const parsed = parseRoute(key)
  if (typeof parsed === 'string') context.addIssue(parsed)
})
const file = z.strictObject({ routes: z.record(route, requirement), preflight: z.boolean().optional() })

const LARGEST = 1_048_576

/**
 * Reads what is asked where:
 *
 *     preflight: true                     # let CORS preflights pass to the application
 *     routes:
 *       /ping: { public: true }
 *       /files/**: { scope: Files.Read }
 *       PUT,DELETE /files/**: { scope: Files.Write, maxAge: 3600 }
 *
 * @throws CaegisError `invalid_routes` with the line of each mistake
 */
export function readRoutesFile(path: string): { routes: RouteMap; preflight?: boolean } {
  const { value, lineOf } = readYamlFile(path, { most: LARGEST, fail: (mistakes) => invalid(path, mistakes) })
  const parsed = file.safeParse(value)
  if (!parsed.success) {
    throw invalid(
      path,
      parsed.error.issues.map(
        (issue) =>
          `line ${lineOf(issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] as string] : issue.path)}: ${issue.path.join(' ') || 'file'}: ${messageOf(issue)}`,
      ),
    )
  }
  return parsed.data as { routes: RouteMap; preflight?: boolean }
}

function messageOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_key') return issue.issues.map(({ message }) => message).join(', ')
  if (issue.code === 'invalid_union') return 'either { public: true }, or any of scope, roles, acrs (lists of words) and maxAge (seconds)'
  return issue.message
}

function invalid(path: string, mistakes: readonly string[]): CaegisError {
  return new CaegisError('invalid_routes', `${CLI_ERRORS.invalid_routes}\n${mistakes.map((one) => `  ${path} ${one}`).join('\n')}`)
}
