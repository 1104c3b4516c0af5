#!/usr/bin/env node
// Plain JavaScript that any Node can read, so that an old one gets a sentence and not a stack.
const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  process.stderr.write(`caegis needs Node 24 or newer; this is ${process.versions.node}.\n`)
  process.stderr.write('In a checkout on Linux x64, "npm ci" brings one along: run "npm start" or "npx caegis". Elsewhere install Node 24.\n')
  process.exit(1)
}
const { enableCompileCache, registerHooks } = await import('node:module')
const { existsSync } = await import('node:fs')
const { fileURLToPath } = await import('node:url')
const source = new URL('../src/main.ts', import.meta.url)
// In a checkout the packages run from source; an installed package carries only what was built.
if (!import.meta.url.includes('/node_modules/') && existsSync(source)) {
  // Hundreds of files are read at each start. What was compiled stays inside the checkout: a shared folder would be a way into this process.
  enableCompileCache(fileURLToPath(new URL('../../../node_modules/.cache/caegis', import.meta.url)))
  registerHooks({
    resolve: (specifier, context, next) => next(specifier, { ...context, conditions: [...(context.conditions ?? []), 'caegis-source'] }),
  })
  await import(source.href)
} else {
  await import(new URL('../dist/main.js', import.meta.url).href)
}
