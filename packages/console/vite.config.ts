import react from '@vitejs/plugin-react'
import { defaultClientConditions, defineConfig } from 'vite'

export default defineConfig({
  root: import.meta.dirname,
  base: '/',
  plugins: [react()],
  // In a checkout the packages are taken from source, without a build.
  resolve: { conditions: ['caegis-source', ...defaultClientConditions] },
  // The server puts a nonce of its own into every answer.
  html: { cspNonce: '__NONCE__' },
  // No inlined data: URLs, so that a strict content security policy can stay strict.
  build: { outDir: 'dist', assetsInlineLimit: 0, chunkSizeWarningLimit: 1000, modulePreload: { polyfill: false } },
})
