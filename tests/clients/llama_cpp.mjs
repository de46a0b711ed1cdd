// Losses under llama.cpp, and its own tokens: a list of jobs in, a list of results out, as JSON.
// {model, tokens, text} -> {losses: [of tokens[1:], in nats], tokens: [of text]}
import {readFileSync} from "node:fs";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: 1});
const results = [];
for (const {model: modelPath, tokens, text} of JSON.parse(readFileSync(0, "utf8"))) {
    const model = await llama.loadModel({modelPath});
    const context = await model.createContext({contextSize: tokens.length + 8, flashAttention: false, threads: 1});
    const losses = [];
    // The distribution as the model has it: no sampler may touch it. A token is sampled along with it, and not used.
    const options = {temperature: 1, topK: 0, topP: 1, minP: 0};
    const input = tokens.map((token, index) =>
        index + 1 < tokens.length ? [token, {generateNext: {probabilities: true, options}}] : token);
    await context.getSequence().controlledEvaluate(input, {
        onTokenResult(index, {next}) {
            losses[index] = -Math.log(next.probabilities.get(tokens[index + 1]));
            next.probabilities.clear();
        }
    });
    results.push({losses, tokens: model.tokenize(text)});
    await model.dispose();
}
console.log(JSON.stringify(results));
process.exit(0);
