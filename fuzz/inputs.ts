import { createArbitrary } from './arbitrary.ts'
import { createRandom } from './random.ts'
import type { Target } from './target.ts'

export interface Input {
  target: Target
  text: string
}

/** Which target an input is for and what it says: a function of seed and position. */
export function createInputs(targets: readonly Target[], seed: number): (index: number) => Input {
  const arbitrary = createArbitrary(seed)
  const wheel = targets.flatMap((target) => Array<Target>(target.weight).fill(target))
  return (index) => {
    const random = createRandom(seed, index)
    const target = random.pick(wheel)
    return { target, text: random.below(10) === 0 ? arbitrary(index, target.arbitrary, random) : target.make(random) }
  }
}

/** The shapes that everything else hangs on: none may change, whatever is read. */
const SHAPES = [Object.prototype, Array.prototype, Function.prototype, String.prototype, Number.prototype, Promise.prototype, Map.prototype]
const sizeOf = () => SHAPES.map((shape) => Reflect.ownKeys(shape).length).join()
const SIZE = sizeOf()

/** Reads one input. @returns what is wrong with how it was read, if anything is */
export async function tryInput({ target, text }: Input): Promise<{ taken: boolean; wrong?: string }> {
  try {
    const taken = await target.run(text)
    if (sizeOf() !== SIZE) return { taken, wrong: 'a prototype was changed' }
    return { taken }
  } catch (error) {
    return { taken: false, wrong: error instanceof Error ? `${error.name}: ${error.message}` : String(error) }
  }
}
