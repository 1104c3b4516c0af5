/** Milliseconds: a connection on which nobody ever speaks does not hold up the end. Nothing is lost by it: what was acknowledged is on the disk. */
const GRACE = 3000

/** Gives back what a start that failed has taken. Never fails, nor takes longer than a clean end may: what went wrong at first is still to be said. */
export async function giveUp(close: () => Promise<void>): Promise<void> {
  const late = Promise.withResolvers<void>()
  const timer = setTimeout(late.resolve, GRACE)
  await Promise.race([close().catch(() => {}), late.promise])
  clearTimeout(timer)
}

/** Ends the process cleanly on Ctrl-C or a service manager's signal; a second signal does not wait. @param grace milliseconds that a clean end may take */
export function stopOnSignals(close: () => Promise<void>, grace = GRACE): void {
  let stopping = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (stopping) process.exit(1)
      stopping = true
      setTimeout(() => process.exit(0), grace)
      close().then(
        () => process.exit(0),
        () => process.exit(1),
      )
    })
  }
}
